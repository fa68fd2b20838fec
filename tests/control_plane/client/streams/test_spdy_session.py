"""Streams over a connection: both ways, half-closed, slow, given up, lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from control_plane.client.streams.errors import StreamReset
from control_plane.client.streams.spdy import session as module
from control_plane.client.streams.spdy.session import Session, Stream
from tests.control_plane.client.streams.pipes import MemoryDuplex, joined

DEADLINE_S = 5


class Pair:
    """A client and a server, and the streams that the server was given."""

    def __init__(self) -> None:
        self.left, self.right = joined()
        self.accepted: asyncio.Queue[Stream] = asyncio.Queue()
        self.client = Session(self.left, is_server=False)
        self.server = Session(self.right, is_server=True, on_stream=self.accepted.put_nowait)
        self.tasks = [asyncio.create_task(each.run()) for each in (self.client, self.server)]

    async def stream(self) -> tuple[Stream, Stream]:
        ours = await self.client.open({"streamtype": "data"})
        return ours, await self.accepted.get()

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = Pair()
    async with asyncio.timeout(DEADLINE_S):
        yield made
        await made.close()


async def read_all(stream: Stream) -> bytes:
    data = b""
    while piece := await stream.read():
        data += piece
    return data


async def test_half_close_and_a_mebibyte_each_way(pair: Pair) -> None:
    ours, theirs = await pair.stream()
    payload = bytes(range(256)) * 4096
    sending = asyncio.create_task(ours.write(payload))
    assert theirs.headers["streamtype"] == "data"
    reading = asyncio.create_task(read_all(theirs))
    await sending
    await ours.end()
    assert await reading == payload
    sending = asyncio.create_task(theirs.write(payload[::-1]))
    received = bytearray()
    while len(received) < len(payload):
        received += await ours.read()
    await sending
    await theirs.end()
    assert await ours.read() == b""
    assert bytes(received) == payload[::-1]


async def test_the_last_data_and_the_end_in_one_packet(pair: Pair) -> None:
    ours, theirs = await pair.stream()
    await ours.end()
    connection = pair.server._connection
    connection.send(theirs.id, b"last")
    connection.send(theirs.id, b"", fin=True)
    await pair.server._flush()
    assert await read_all(ours) == b"last"


async def test_streams_do_not_mix(pair: Pair) -> None:
    pairs = [await pair.stream() for _ in range(20)]
    for number, (ours, _) in enumerate(pairs):
        await ours.write(f"stream {number}".encode())
        await ours.end()
    for number, (_, theirs) in enumerate(pairs):
        assert await read_all(theirs) == f"stream {number}".encode()


async def test_what_nobody_reads_stops_the_sender(pair: Pair) -> None:
    ours, theirs = await pair.stream()
    sending = asyncio.create_task(ours.write(b"x" * 8 * module.MAX_UNREAD_BYTES))
    await asyncio.sleep(0.2)
    assert not sending.done()
    assert pair.server._unread < 3 * module.MAX_UNREAD_BYTES
    received = 0
    while received < 8 * module.MAX_UNREAD_BYTES:
        received += len(await theirs.read())
    await sending


async def test_a_discarded_stream_does_not_stop_the_others(pair: Pair) -> None:
    ours, theirs = await pair.stream()
    other, other_end = await pair.stream()
    await theirs.discard()
    await ours.write(b"x" * 3 * module.MAX_UNREAD_BYTES)
    await other.write(b"still here")
    assert await other_end.read() == b"still here"


async def test_a_reset_reaches_the_reader_and_the_writer(pair: Pair) -> None:
    ours, theirs = await pair.stream()
    await ours.reset()
    with pytest.raises(StreamReset):
        await theirs.read()
    with pytest.raises(StreamReset):
        await theirs.write(b"to nobody")
    await theirs.end()  # nothing to be said about it


async def test_a_lost_connection_ends_every_stream(pair: Pair) -> None:
    _, theirs = await pair.stream()
    pair.left.close()
    with pytest.raises(StreamReset):
        await theirs.read()


async def test_garbage_ends_the_connection(pair: Pair) -> None:
    _, theirs = await pair.stream()
    await pair.left.write(b"\x80\x02garbage and more of it")
    with pytest.raises(StreamReset):
        await theirs.read()


async def test_a_server_without_use_for_streams_refuses_them() -> None:
    left, right = joined()
    client, server = Session(left, is_server=False), Session(right, is_server=True)
    tasks = [asyncio.create_task(each.run()) for each in (client, server)]
    stream = await client.open({})
    with pytest.raises(StreamReset):
        await asyncio.wait_for(stream.read(), DEADLINE_S)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_pings_find_out_that_the_peer_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PING_INTERVAL_S", 0.05)
    left = MemoryDuplex()
    left.peer = MemoryDuplex()
    left.peer.closed = True
    await asyncio.wait_for(Session(left, is_server=True).run(), DEADLINE_S)
