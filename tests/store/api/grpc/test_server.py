"""The door as clients meet it: an independent gRPC client, HTTP/1.1 beside it, and what no client should do."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from aetcd.rpc import rpc_pb2 as pb
from aetcd.rpc import rpc_pb2_grpc

from store.api.grpc import frames as f
from store.api.grpc.header_block import literal

from ...conftest import BalsaCluster, TlsFiles, balsa_cluster, eventually

TIMEOUT_S = 10.0

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BalsaCluster]:
    async with balsa_cluster(tmp_path_factory.mktemp("balsa"), tls) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def channel(cluster: BalsaCluster) -> AsyncIterator[grpc.aio.Channel]:
    """Google's implementation, in C."""
    directory = cluster.tls.directory
    credentials = grpc.ssl_channel_credentials(
        *((directory / name).read_bytes() for name in ("ca.crt", "client.key", "client.crt"))
    )
    async with grpc.aio.secure_channel(cluster.urls[0].removeprefix("https://"), credentials) as channel:
        yield channel


async def test_unary_calls_at_the_same_time(channel: grpc.aio.Channel) -> None:
    kv = rpc_pb2_grpc.KVStub(channel)
    await asyncio.gather(*(kv.Put(pb.PutRequest(key=b"u/%03d" % n, value=b"%d" % n)) for n in range(200)))
    answer = await kv.Range(pb.RangeRequest(key=b"u/", range_end=b"u0"))
    assert [each.value for each in answer.kvs] == [b"%d" % n for n in range(200)]
    assert answer.header.raft_term > 0


async def test_large_values_both_ways(channel: grpc.aio.Channel) -> None:
    """More than any window, and many at once on one connection."""
    kv = rpc_pb2_grpc.KVStub(channel)
    values = [bytes((n,)) * 1_400_000 for n in range(6)]
    await asyncio.gather(*(kv.Put(pb.PutRequest(key=b"big/%d" % n, value=v)) for n, v in enumerate(values)))
    for n, value in enumerate(values):
        answer = await kv.Range(pb.RangeRequest(key=b"big/%d" % n))
        assert answer.kvs[0].value == value


async def test_errors_have_code_and_message(channel: grpc.aio.Channel) -> None:
    kv = rpc_pb2_grpc.KVStub(channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await kv.Put(pb.PutRequest())
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "etcdserver: key is not provided"


async def test_unknown_methods(channel: grpc.aio.Channel) -> None:
    call = channel.unary_unary("/etcdserverpb.KV/Nope")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert caught.value.details() == "unknown method Nope for service etcdserverpb.KV"


async def test_many_watches_on_one_stream(channel: grpc.aio.Channel) -> None:
    kv, watch = rpc_pb2_grpc.KVStub(channel), rpc_pb2_grpc.WatchStub(channel).Watch()
    for n in range(3):
        await watch.write(pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"w/%d" % n)))
        created = await watch.read()
        assert (created.watch_id, created.created) == (n, True)
    for n in (2, 0):
        await kv.Put(pb.PutRequest(key=b"w/%d" % n, value=b"v"))
        event = await watch.read()
        assert (event.watch_id, event.events[0].kv.key) == (n, b"w/%d" % n)
    await watch.write(pb.WatchRequest(cancel_request=pb.WatchCancelRequest(watch_id=1)))
    assert (await watch.read()).canceled
    await watch.write(pb.WatchRequest(progress_request=pb.WatchProgressRequest()))
    assert (await watch.read()).watch_id == -1
    await watch.done_writing()
    assert await watch.read() is grpc.aio.EOF
    assert await watch.code() is grpc.StatusCode.OK


async def test_a_watch_that_is_given_up_is_gone(channel: grpc.aio.Channel, cluster: BalsaCluster) -> None:
    watch = rpc_pb2_grpc.WatchStub(channel).Watch()
    await watch.write(pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"x")))
    await watch.read()
    assert await _metric(cluster, "etcd_debugging_mvcc_watch_stream_total") == 1
    watch.cancel()

    async def gone() -> bool:
        return await _metric(cluster, "etcd_debugging_mvcc_watch_stream_total") == 0

    await eventually(gone)


async def test_keep_alive(channel: grpc.aio.Channel) -> None:
    lease = rpc_pb2_grpc.LeaseStub(channel)
    granted = await lease.LeaseGrant(pb.LeaseGrantRequest(TTL=60))
    stream = lease.LeaseKeepAlive()
    for id, ttl in ((granted.ID, 60), (4711, 0)):
        await stream.write(pb.LeaseKeepAliveRequest(ID=id))
        answer = await stream.read()
        assert (id, ttl) == (answer.ID, answer.TTL)
    await stream.done_writing()
    assert await stream.code() is grpc.StatusCode.OK


async def test_locks_and_elections_as_services(channel: grpc.aio.Channel) -> None:
    def method(path: str) -> Any:
        return channel.unary_unary(path)

    first = await method("/v3lockpb.Lock/Lock")(b"\x0a\x01l")
    key = first[first.index(b"\x12") + 2 :]
    waiting = method("/v3lockpb.Lock/Lock")(b"\x0a\x01l", timeout=TIMEOUT_S)
    given_up = method("/v3lockpb.Lock/Lock")(b"\x0a\x01l", timeout=0.2)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await given_up
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await method("/v3lockpb.Lock/Unlock")(b"\x0a" + bytes((len(key),)) + key)
    assert await waiting
    leader = await method("/v3electionpb.Election/Campaign")(b"\x0a\x01e\x1a\x03one")
    assert leader
    assert b"one" in await method("/v3electionpb.Election/Leader")(b"\x0a\x01e")


async def test_health(channel: grpc.aio.Channel) -> None:
    assert await channel.unary_unary("/grpc.health.v1.Health/Check")(b"") == b"\x08\x01"


async def test_the_snapshot_stream(channel: grpc.aio.Channel) -> None:
    size = 0
    async for piece in rpc_pb2_grpc.MaintenanceStub(channel).Snapshot(pb.SnapshotRequest()):
        size += len(piece.blob)
    assert size % 512 == 32


async def test_who_speaks_both_gets_the_gateway(cluster: BalsaCluster) -> None:
    context = cluster.tls.client_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    reader, writer = await _connect(cluster, context)
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
    writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()


async def _connect(
    cluster: BalsaCluster, context: ssl.SSLContext | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if context is None:
        context = cluster.tls.client_context()
        context.set_alpn_protocols(["h2"])
    host, port = cluster.urls[0].removeprefix("https://").split(":")
    return await asyncio.open_connection(host, int(port), ssl=context)


def _head(path: bytes, content_type: bytes = b"application/grpc", method: bytes = b"\x83") -> bytes:
    return method + b"\x87" + literal(b":path", path) + literal(b"content-type", content_type)


async def _frames(reader: asyncio.StreamReader, until: int) -> list[tuple[int, bytes]]:
    """What the server sends, up to the first frame of a kind."""
    frames: list[tuple[int, bytes]] = []
    async with asyncio.timeout(TIMEOUT_S):
        while not frames or frames[-1][0] != until:
            head = await reader.readexactly(f.HEAD_BYTES)
            payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
            frames.append((head[3], payload))
    return frames


REQUESTS = {
    "a wrong content type": (_head(b"/etcdserverpb.KV/Range", b"text/plain"), b"", b"415"),
    "a wrong method": (_head(b"/health", method=b"\x82"), b"", b"405"),
    "no message": (_head(b"/etcdserverpb.KV/Range"), b"", b"unexpected EOF"),
    "half a message": (_head(b"/etcdserverpb.KV/Range"), b"\0\0\0\0\x09a", b"unexpected EOF"),
    "a compressed message": (_head(b"/etcdserverpb.KV/Range"), b"\1\0\0\0\x01a", b"Decompressor"),
    "a message too large": (_head(b"/etcdserverpb.KV/Range"), b"\0\x7f\0\0\0", b"request is too large"),
    "no protobuf": (_head(b"/etcdserverpb.KV/Range"), b"\0\0\0\0\x02\x0f\xff", b"error unmarshalling"),
}


@pytest.mark.parametrize(("head", "body", "answer"), REQUESTS.values(), ids=REQUESTS)
async def test_bad_requests_are_answered(
    cluster: BalsaCluster, head: bytes, body: bytes, answer: bytes
) -> None:
    reader, writer = await _connect(cluster)
    writer.write(f.PREFACE + f.settings({}))
    writer.write(f.frame(f.HEADERS, f.END_HEADERS, 1, head) + f.frame(f.DATA, f.END_STREAM, 1, body))
    assert answer in (await _frames(reader, until=f.HEADERS))[-1][1]
    writer.close()


async def test_a_ping_for_each_answer_is_welcome(cluster: BalsaCluster) -> None:
    """grpc-go measures the connection with one when data arrives; an answer forgives the pings before it."""
    reader, writer = await _connect(cluster)
    writer.write(f.PREFACE + f.settings({}))
    request = pb.RangeRequest(key=b"x", serializable=True).SerializeToString()
    body = b"\0" + len(request).to_bytes(4, "big") + request
    for number in range(10):
        head = f.frame(f.HEADERS, f.END_HEADERS, 2 * number + 1, _head(b"/etcdserverpb.KV/Range"))
        writer.write(head + f.frame(f.DATA, f.END_STREAM, 2 * number + 1, body))
        await _frames(reader, until=f.DATA)
        writer.write(f.frame(f.PING, 0, 0, bytes((number,)) * 8))
        assert f.GOAWAY not in [kind for kind, _ in await _frames(reader, until=f.PING)]
    writer.close()


async def test_a_client_that_never_reads_is_cut_off(cluster: BalsaCluster) -> None:
    """It asks for one acknowledgement after another: what it makes the member queue is bounded."""
    reader, writer = await _connect(cluster)
    writer.write(f.PREFACE + f.settings({}))
    with pytest.raises((ConnectionError, ssl.SSLError)):
        await asyncio.wait_for(_flood(writer), TIMEOUT_S * 2)
    assert not reader.at_eof()
    writer.close()


async def _flood(writer: asyncio.StreamWriter) -> None:
    settings = f.settings({}) * 10_000
    for _ in range(1000):
        writer.write(settings)
        await writer.drain()


async def _metric(cluster: BalsaCluster, name: str) -> float:
    reader, writer = await _connect(cluster, cluster.tls.client_context())
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    return float(next(line.split()[1] for line in text.splitlines() if line.startswith(name + " ")))
