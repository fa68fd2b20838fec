"""What the client does when members fail: scripted members that refuse, hang, die or answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

import pytest

from store.client import Compacted, OutcomeUnknown, StoreClient, TooManyRequests, Unavailable
from store.client.errors import from_status

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]

RANGE = b'{"header":{"revision":"7"},"count":"0"}'


def answer(status: int, body: bytes) -> bytes:
    return f"HTTP/1.1 {status} X\r\nServer: balsa\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def refusal(message: str, code: int = 14, status: int = 503) -> bytes:
    return answer(status, f'{{"error":"{message}","code":{code},"message":"{message}"}}'.encode())


class Member:
    """Reads requests and answers each with the next of `script` (the last repeats); b"" cuts the
    connection."""

    def __init__(self, *script: bytes | None) -> None:
        self.script = list(script)
        self.requests: list[bytes] = []
        self.url = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                self.requests.append(head.split(b" ")[1])
                reply = self.script.pop(0) if len(self.script) > 1 else self.script[0]
                if reply is None:
                    await asyncio.sleep(60)
                elif reply == b"":
                    writer.transport.abort()
                    return
                else:
                    writer.write(reply)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(*members: Member) -> AsyncIterator[list[str]]:
    servers = []
    tasks: set[asyncio.Task[None]] = set()

    def accept(member: Member) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            await member.handle(reader, writer)

        return handle

    for member in members:
        server = await asyncio.start_server(accept(member), "127.0.0.1", 0)
        member.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        servers.append(server)
    try:
        yield [member.url for member in members]
    finally:
        for server in servers:
            server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


PUT = b'{"header":{"revision":"8"}}'

WRITE_CASES = {
    "no leader: asked elsewhere": (refusal("etcdserver: no leader"), None),
    "cut: unknown": (b"", OutcomeUnknown),
    "timed out: unknown": (refusal("etcdserver: request timed out"), OutcomeUnknown),
    "overload: told": (refusal("etcdserver: too many requests", 8, 429), TooManyRequests),
    "never answered: unknown": (None, OutcomeUnknown),
}


@pytest.mark.parametrize(("first", "error"), WRITE_CASES.values(), ids=WRITE_CASES)
async def test_a_write_is_retried_only_when_certainly_not_applied(
    first: bytes | None, error: type[Exception] | None
) -> None:
    bad, good = Member(first), Member(answer(200, PUT))
    async with serving(bad, good) as urls, StoreClient(urls, request_timeout_s=0.7) as client:
        _prefer(client, 0)
        if error is None:
            assert (await client.put(b"k", b"v")).revision == 8
            assert len(good.requests) == 1
        else:
            with pytest.raises(error):
                await client.put(b"k", b"v")
            assert good.requests == []
        assert len(bad.requests) == 1


@pytest.mark.parametrize("first", [b"", refusal("etcdserver: request timed out")], ids=["cut", "timed out"])
async def test_a_read_goes_to_the_next_member(first: bytes) -> None:
    bad, good = Member(first), Member(answer(200, RANGE))
    async with serving(bad, good) as urls, StoreClient(urls) as client:
        _prefer(client, 0)
        assert (await client.range(b"k")).revision == 7


async def test_a_dead_member_costs_little(unused_tcp_port: int) -> None:
    good = Member(answer(200, PUT))
    dead = f"http://127.0.0.1:{unused_tcp_port}"
    async with serving(good) as urls, StoreClient([dead, *urls]) as client:
        _prefer(client, 0)
        loop = asyncio.get_running_loop()
        start = loop.time()
        await client.put(b"k", b"v")
        assert loop.time() - start < 0.1


async def test_a_paused_member_is_passed_over_by_new_connections() -> None:
    """It accepts (the kernel does) and says nothing; TLS or not, reads move on."""
    paused, good = Member(None), Member(answer(200, RANGE))
    async with serving(paused, good) as urls, StoreClient(urls) as client:
        _prefer(client, 0)
        loop = asyncio.get_running_loop()
        start = loop.time()
        slow = asyncio.create_task(client.range(b"k"))
        await asyncio.sleep(0.6)  # the first request has marked the member as slow by now
        await client.range(b"k")
        assert loop.time() - start < 1.0
        await slow


async def test_nobody_there_is_unavailable(unused_tcp_port: int) -> None:
    async with StoreClient([f"http://127.0.0.1:{unused_tcp_port}"], request_timeout_s=0.2) as client:
        with pytest.raises(Unavailable):
            await client.put(b"k", b"v")


def test_compacted_is_recognised_by_its_text() -> None:
    error = from_status(11, "etcdserver: mvcc: required revision has been compacted")
    assert isinstance(error, Compacted)


def _prefer(client: StoreClient, index: int) -> None:
    client._transport.endpoints._preferred = index


async def test_members_come_and_go() -> None:
    """A client of one member learns of the others; one of a member that is gone asks the new one."""
    first, second = Member(), Member(answer(200, RANGE))
    async with serving(first, second):
        listed = f'{{"members":[{{"ID":"2","clientURLs":["{second.url}"]}},{{"ID":"3","name":"unstarted"}}]}}'
        first.script = [answer(200, listed.encode())]
        async with StoreClient([first.url]) as client:
            assert await client.sync() == [second.url]
            assert (await client.range(b"a")).revision == 7
            client.set_endpoints([second.url, first.url])
            assert client.endpoints == [second.url, first.url]
            assert (await client.range(b"a")).revision == 7
    assert len(second.requests) == 2
