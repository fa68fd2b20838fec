"""One `balsa store` process, seen from its sockets: streams, probes, limits, TLS, start and stop."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import socket
import ssl
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from store.client import NoSpace, StoreClient, StoreError, Unavailable
from store.client.endpoints import Endpoint
from store.component.http_connection import Connection, LineStream, Response

from ..conftest import BalsaCluster, TlsFiles, balsa_cluster, eventually, wait_ready

DEADLINE_S = 10.0


@pytest.fixture
async def cluster(tmp_path: Path, tls: TlsFiles) -> AsyncIterator[BalsaCluster]:
    async with balsa_cluster(tmp_path, tls, flags=["--watch-progress-notify-interval=100ms"]) as cluster:
        yield cluster


async def connect(cluster: BalsaCluster) -> Connection:
    return await Endpoint(cluster.urls[0], cluster.tls.client_context()).open()


async def ask(
    cluster: BalsaCluster, method: str, path: str, body: bytes = b"", headers: bytes = b""
) -> Response:
    connection = await connect(cluster)
    try:
        return await connection.request(method, path, body, headers)
    finally:
        connection.close()


async def next_result(stream: LineStream) -> Any:
    async with asyncio.timeout(DEADLINE_S):
        line = await stream.read()
    assert line is not None
    return json.loads(line)["result"]


def b(text: str) -> str:
    return b64encode(text.encode()).decode()


def message(**request: Any) -> bytes:
    return json.dumps(request).encode() + b"\n"


async def test_many_watches_on_one_stream(cluster: BalsaCluster) -> None:
    connection = await connect(cluster)
    first = message(create_request={"key": b("a"), "watch_id": 7})
    stream = connection.open_stream("/v3/watch", first, b"", keep_sending=True)
    assert (await next_result(stream))["watch_id"] == "7"
    stream.send(
        message(create_request={"key": b("b")}) + message(createRequest={"key": b("c"), "prevKv": True})
    )
    assert (await next_result(stream))["created"]
    assert (await next_result(stream))["watch_id"] == "1"
    async with cluster.client() as client:
        await client.put(b"b", b"1")
        event = await next_result(stream)
        assert event["events"][0]["kv"]["value"] == b("1")
        assert "watch_id" not in event
        stream.send(message(cancel_request={"watch_id": "7"}))
        assert (await next_result(stream))["canceled"]
        await client.put(b"a", b"unseen")
        await client.put(b"c", b"2")
        assert (await next_result(stream))["watch_id"] == "1"
        stream.send(message(progress_request={}))
        progress = await next_result(stream)
        assert progress["watch_id"] == "-1"
        assert int(progress["header"]["revision"]) == (await client.range(b"a")).revision
    stream.close()


async def test_idle_watches_are_told_of_progress(cluster: BalsaCluster) -> None:
    async with cluster.client() as client:
        watch = client.watch(b"k", progress_notify=True)
        assert (await anext(watch)).created
        revision = (await client.put(b"other", b"")).revision
        async with asyncio.timeout(DEADLINE_S):
            while (response := await anext(watch)).revision < revision:
                pass
        assert response.progress
        assert await watch.request_progress()
        assert (await anext(watch)).progress


async def test_a_long_response_comes_in_fragments_to_who_takes_them(cluster: BalsaCluster) -> None:
    async with cluster.client() as client:
        for n in range(4):
            await client.put(b"f/%d" % n, b"x" * 700_000)
    connection = await connect(cluster)
    create = {"key": b("f/"), "range_end": b("f0"), "start_revision": 1, "fragment": True}
    stream = connection.open_stream("/v3/watch", message(create_request=create), b"", keep_sending=True)
    assert (await next_result(stream))["created"]
    results = [await next_result(stream) for _ in range(4)]
    assert [result.get("fragment", False) for result in results] == [True, True, True, False]
    assert [result["events"][0]["kv"]["key"] for result in results] == [b(f"f/{n}") for n in range(4)]
    stream.close()


async def test_a_bad_message_ends_the_stream_with_an_error(cluster: BalsaCluster) -> None:
    connection = await connect(cluster)
    stream = connection.open_stream("/v3/watch", b'{"nonsense": 1}\n', b"", keep_sending=True)
    async with asyncio.timeout(DEADLINE_S):
        error = json.loads(await stream.read() or b"")["error"]
        assert (error["grpc_code"], error["http_code"]) == (3, 400)
        assert await stream.read() is None


async def test_several_keep_alives_on_one_stream(cluster: BalsaCluster) -> None:
    async with cluster.client() as client:
        lease = await client.lease_grant(30)
    connection = await connect(cluster)
    stream = connection.open_stream("/v3/lease/keepalive", message(ID=lease.id), b"", keep_sending=True)
    assert (await next_result(stream))["TTL"] == "30"
    stream.send(message(ID=str(lease.id)))
    assert (await next_result(stream))["TTL"] == "30"
    stream.send(message(ID=1))
    assert "TTL" not in await next_result(stream)
    stream.close()


async def test_a_snapshot_is_streamed_with_its_digest(cluster: BalsaCluster) -> None:
    async with cluster.client() as client:
        await client.put(b"k", b"v" * 1000)
    response = await ask(cluster, "POST", "/v3/maintenance/snapshot", b"{}")
    blobs = [b64decode(json.loads(line)["result"]["blob"]) for line in response.body.splitlines()]
    assert hashlib.sha256(b"".join(blobs[:-1])).digest() == blobs[-1]
    assert b"v" * 1000 in b"".join(blobs)


PROBES = {
    "/version": (200, b'"etcdserver":"3.6.0"'),
    "/health": (200, b'"health":"true"'),
    "/livez": (200, b"ok"),
    "/readyz": (200, b"ok"),
    "/metrics": (200, b"etcd_server_has_leader 1.0"),
    "/nothing": (404, b"Not Found"),
    "/v3/kv/put": (405, b"Method Not Allowed"),
}


async def test_probes(cluster: BalsaCluster) -> None:
    for path, (status, part) in PROBES.items():
        response = await ask(cluster, "GET", path)
        assert (path, response.status) == (path, status)
        assert part in response.body


async def test_what_is_no_http_is_refused(cluster: BalsaCluster) -> None:
    url = cluster.urls[0]
    port = int(url.rsplit(":", 1)[1])
    context = cluster.tls.client_context()
    for raw, status in (
        (b"NONSENSE\r\n\r\n", b"400"),
        (b"POST /v3/kv/put HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", b"413"),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * 40_000, b"431"),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.write(raw)
        async with asyncio.timeout(DEADLINE_S):
            assert (await reader.read()).startswith(b"HTTP/1.1 " + status)
        writer.close()


async def test_pipelined_requests_are_answered_in_order(cluster: BalsaCluster) -> None:
    port = int(cluster.urls[0].rsplit(":", 1)[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=cluster.tls.client_context())
    for n in range(20):
        body = json.dumps({"key": b("k"), "value": b(str(n)), "prev_kv": True}).encode()
        writer.write(b"POST /v3/kv/put HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    previous = []
    async with asyncio.timeout(DEADLINE_S):
        for _ in range(20):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
            previous.append(json.loads(await reader.readexactly(length)).get("prev_kv", {}).get("value"))
    assert previous == [None, *(b(str(n)) for n in range(19))]
    writer.close()


async def test_a_client_without_a_certificate_is_refused(cluster: BalsaCluster) -> None:
    context = ssl.create_default_context(cafile=str(cluster.tls.ca))
    async with StoreClient(cluster.urls, context, request_timeout_s=1.0) as client:
        with pytest.raises(StoreError):
            await client.put(b"k", b"v")


async def test_plain_http_is_refused(cluster: BalsaCluster) -> None:
    url = cluster.urls[0].replace("https", "http")
    async with StoreClient([url], request_timeout_s=0.5) as client:
        with pytest.raises(StoreError):
            await client.put(b"k", b"v")


async def test_connections_are_bounded(tmp_path: Path, tls: TlsFiles) -> None:
    async with balsa_cluster(tmp_path, tls, flags=["--max-concurrent-connections=4"]) as cluster:
        connections = [await connect(cluster) for _ in range(3)]
        for connection in connections:
            assert (await connection.request("GET", "/livez", b"")).status == 200
        await eventually(lambda: _refused(cluster))
        connections[0].close()
        await eventually(lambda: _served(cluster))


async def _refused(cluster: BalsaCluster) -> bool:
    """With the fourth connection held, the fifth is told why."""
    fourth = await connect(cluster)
    try:
        response = await ask(cluster, "GET", "/livez")
        return response.status == 503 and b"too many connections" in response.body
    except Exception:
        return True  # closed before the answer could be read
    finally:
        fourth.close()


async def _served(cluster: BalsaCluster) -> bool:
    return (await ask(cluster, "GET", "/livez")).status == 200


async def test_the_quota_flag(tmp_path: Path, tls: TlsFiles) -> None:
    flags = ["--quota-backend-bytes=100000"]
    async with balsa_cluster(tmp_path, tls, flags=flags) as cluster, cluster.client() as client:
        for n in range(10):
            await client.put(b"%d" % n, b"x" * 10_000)
        with pytest.raises(NoSpace):
            await client.put(b"k", b"")
        assert (await client.status()).errors
        assert (await ask(cluster, "GET", "/health")).status == 503
        assert (await ask(cluster, "GET", "/readyz")).status == 200
        deleted = await client.delete_range(b"\x00", b"\x00")
        await client.compact(deleted.revision, physical=True)
        await ask(cluster, "POST", "/v3/maintenance/alarm", b'{"action":"DEACTIVATE","alarm":"NOSPACE"}')
        await client.put(b"k", b"")


async def test_automatic_compaction(tmp_path: Path, tls: TlsFiles) -> None:
    flags = ["--auto-compaction-mode=periodic", "--auto-compaction-retention=1s"]
    async with balsa_cluster(tmp_path, tls, flags=flags) as cluster, cluster.client() as client:
        for _ in range(3):
            latest = (await client.put(b"k", b"")).revision

        async def compacted() -> bool:
            return (await client.hash_kv(cluster.urls[0]))[1] == latest

        await eventually(compacted)


async def test_data_survives_a_kill_and_a_clean_stop(tmp_path: Path, tls: TlsFiles) -> None:
    async with balsa_cluster(tmp_path, tls) as cluster, cluster.client() as client:
        member = cluster.members[0]
        lease = await client.lease_grant(1000)
        await client.put(b"k", b"1", lease=lease.id)
        await member.kill()
        await member.start()
        await wait_ready(client, member.process)
        assert (await client.lease_time_to_live(lease.id, keys=True)).keys == [b"k"]
        await client.put(b"k", b"2", lease=lease.id)
        assert await member.terminate() == 0
        await member.start()
        await wait_ready(client, member.process)
        assert (await client.range(b"k")).kvs[0].version == 2


async def test_a_leader_that_stops_hands_over(tmp_path: Path, tls: TlsFiles) -> None:
    async with balsa_cluster(tmp_path, tls, size=3) as cluster, cluster.client() as client:
        leader = await cluster.leader()
        term = (await client.status(leader.url)).raft_term
        stopped = asyncio.create_task(leader.terminate())
        loop = asyncio.get_running_loop()
        longest = last = 0.0
        last = loop.time()
        while not stopped.done():
            try:
                await client.put(b"k", b"")
            except StoreError:
                continue
            longest, last = max(longest, loop.time() - last), loop.time()
        assert await stopped == 0
        assert longest < 1.0, "the others had to wait for an election"
        others = [member.url for member in cluster.members if member is not leader]
        assert (await client.status(others[0])).raft_term == term + 1


async def test_a_watch_leaves_a_paused_member(tmp_path: Path, tls: TlsFiles) -> None:
    async with balsa_cluster(tmp_path, tls, size=3) as cluster, cluster.client() as client:
        watch = client.watch(b"k")
        assert (await anext(watch)).created
        watched = next(member for member in cluster.members if watch._endpoint.url == member.url)
        assert watched.process is not None
        watched.process.send_signal(signal.SIGSTOP)
        try:
            others = [member.url for member in cluster.members if member is not watched]
            async with cluster.client(*others) as writer:

                async def written() -> bool:
                    try:
                        await writer.put(b"k", b"v")
                    except StoreError:
                        return False
                    return True

                await eventually(written)
            async with asyncio.timeout(DEADLINE_S):
                assert (await anext(watch)).events[0].kv.value == b"v"
        finally:
            watched.process.send_signal(signal.SIGCONT)


async def test_an_inherited_socket(tmp_path: Path, tls: TlsFiles) -> None:
    """The supervisor opens the door; the member only answers it."""
    cluster = BalsaCluster(tmp_path, tls, 1)
    member = cluster.members[0]
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", int(member.url.rsplit(":", 1)[1])))
        listening.listen()
        listening.set_inheritable(True)
        member.flags = [f"--listen-client-fd={listening.fileno()}"]
        member.pass_fds = (listening.fileno(),)
        await member.start()
        try:
            async with cluster.client() as client:
                await wait_ready(client, member.process)
        finally:
            await member.kill()


BAD_STARTS = {
    "no certificate": (["--cert-file=/nowhere"], b"/nowhere"),
    "plain HTTP": (["--listen-client-urls=http://127.0.0.1:1"], b"there is no plain HTTP"),
    "not in the cluster": (["--initial-cluster=other=https://127.0.0.1:1"], b"does not name this member"),
    "certificates off": (["--client-cert-auth=false"], b"cannot be turned off"),
    "bad retention": (["--auto-compaction-retention=soon"], b"--auto-compaction-retention"),
    "joining": (["--initial-cluster-state=existing"], b"needs to know whom to ask"),
}


@pytest.mark.parametrize(("flags", "reason"), BAD_STARTS.values(), ids=BAD_STARTS)
async def test_a_bad_start_says_why_in_one_line(
    tmp_path: Path, tls: TlsFiles, flags: list[str], reason: bytes
) -> None:
    member = BalsaCluster(tmp_path, tls, 1).members[0]
    member.flags = flags
    await member.start()
    assert member.process is not None
    async with asyncio.timeout(DEADLINE_S):
        assert await member.process.wait() == 1
    said = member.log.read_bytes()
    assert reason in said
    assert b"Traceback" not in said


async def test_a_member_without_quorum_says_so(tmp_path: Path, tls: TlsFiles) -> None:
    async with balsa_cluster(tmp_path, tls, size=3) as cluster:
        survivor, *others = cluster.members
        for member in others:
            await member.kill()
        async with cluster.client(survivor.url, request_timeout_s=1.0) as client:

            async def leaderless() -> bool:
                return (await client.status(survivor.url)).leader == 0

            await eventually(leaderless)
            with pytest.raises(Unavailable):
                await client.put(b"k", b"v")
            await client.range(b"k", serializable=True)
            response = await ask(cluster, "GET", "/health")
            assert response.status == 503
