"""What a kube-apiserver (1.36, with etcd's client 3.6) asks of its etcd, request by request, on Balsa's store
and on a real etcd: the transactions of its storage, paged lists and counts, watches with progress requests,
leases shared by events, its compactor, its probes, the pings of its connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc
import pytest
import pytest_asyncio
from aetcd.rpc import kv_pb2, rpc_pb2_grpc
from aetcd.rpc import rpc_pb2 as pb

from store.api.grpc import frames as f
from store.api.grpc.header_block import literal

from ...conftest import TlsFiles, balsa_cluster, needs_etcd, real_etcd

TIMEOUT_S = 20.0
REQUIRE_LEADER = (("hasleader", "true"),)
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Store:
    name: str
    url: str
    tls: TlsFiles
    channel: grpc.aio.Channel

    def __post_init__(self) -> None:
        self.kv = rpc_pb2_grpc.KVStub(self.channel)
        self.lease = rpc_pb2_grpc.LeaseStub(self.channel)
        self.cluster = rpc_pb2_grpc.ClusterStub(self.channel)
        self.maintenance = rpc_pb2_grpc.MaintenanceStub(self.channel)
        self.watches = rpc_pb2_grpc.WatchStub(self.channel)

    async def put(self, key: bytes, value: bytes, expected_revision: int, lease: int = 0) -> pb.TxnResponse:
        """The optimistic put of etcd's client for Kubernetes; what is there comes back on failure."""
        return await self.kv.Txn(
            pb.TxnRequest(
                compare=[_mod_revision(key, expected_revision)],
                success=[pb.RequestOp(request_put=pb.PutRequest(key=key, value=value, lease=lease))],
                failure=[pb.RequestOp(request_range=pb.RangeRequest(key=key))],
            )
        )

    async def delete(self, key: bytes, expected_revision: int) -> pb.TxnResponse:
        return await self.kv.Txn(
            pb.TxnRequest(
                compare=[_mod_revision(key, expected_revision)],
                success=[pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key))],
                failure=[pb.RequestOp(request_range=pb.RangeRequest(key=key))],
            )
        )

    async def fill(self, prefix: bytes, count: int, size: int = 10) -> int:
        """Returns the revision after it."""
        made = [self.put(prefix + b"%05d" % number, b"v" * size, 0) for number in range(count)]
        return max(response.header.revision for response in await asyncio.gather(*made))


def _mod_revision(key: bytes, revision: int) -> pb.Compare:
    return pb.Compare(result=pb.Compare.EQUAL, target=pb.Compare.MOD, key=key, mod_revision=revision)


def _end(prefix: bytes) -> bytes:
    return prefix[:-1] + bytes((prefix[-1] + 1,))


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=["balsa", pytest.param("etcd", marks=needs_etcd)]
)
async def store(
    request: pytest.FixtureRequest, tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Store]:
    directory = tmp_path_factory.mktemp(request.param)
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "etcd":
            url = await stack.enter_async_context(real_etcd(directory, tls))
        else:
            url = (await stack.enter_async_context(balsa_cluster(directory, tls))).urls[0]
        files = ("ca.crt", "client.key", "client.crt")
        credentials = grpc.ssl_channel_credentials(*((tls.directory / each).read_bytes() for each in files))
        address = url.removeprefix("https://")
        channel = grpc.aio.secure_channel(address, credentials, options=UNLIMITED)
        yield Store(request.param, url, tls, await stack.enter_async_context(channel))


async def test_the_version_decides_about_progress_requests(store: Store) -> None:
    """It asks every endpoint; from 3.5.13 (and 3.4.31) on it trusts them."""
    status = await store.maintenance.Status(pb.StatusRequest())
    version = tuple(map(int, status.version.split(".")))
    assert (version >= (3, 5, 13)) == (store.name == "balsa")
    assert status.leader == status.header.member_id
    assert status.dbSize >= status.dbSizeInUse >= 0


async def test_create_update_and_delete(store: Store) -> None:
    key = b"/registry/pods/default/a"
    created = await store.put(key, b"1", 0)
    assert created.succeeded
    revision = created.header.revision
    assert created.responses[0].response_put.header.revision == revision
    again = await store.put(key, b"2", 0)
    assert not again.succeeded
    assert again.responses[0].response_range.kvs[0].value == b"1"
    assert again.header.revision == revision
    updated = await store.put(key, b"2", revision)
    assert updated.succeeded
    stale = await store.delete(key, revision)
    assert (stale.succeeded, stale.responses[0].response_range.kvs[0].mod_revision) == (
        False,
        updated.header.revision,
    )
    deleted = await store.delete(key, updated.header.revision)
    assert deleted.succeeded
    assert deleted.responses[0].response_delete_range.deleted == 1
    assert deleted.responses[0].response_delete_range.header.revision == updated.header.revision + 1
    nothing = await store.delete(key, updated.header.revision)
    assert (nothing.succeeded, len(nothing.responses[0].response_range.kvs)) == (False, 0)


async def test_get_says_the_revision_even_of_nothing(store: Store) -> None:
    written = await store.put(b"/registry/get/a", b"", 0)
    missing = await store.kv.Range(pb.RangeRequest(key=b"/registry/get/none", limit=1))
    assert missing.header.revision >= written.header.revision
    assert (len(missing.kvs), missing.count) == (0, 0)
    future = pb.RangeRequest(key=b"/registry/get/a", limit=1, revision=missing.header.revision + 1000)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await store.kv.Range(future)
    assert caught.value.code() is grpc.StatusCode.OUT_OF_RANGE
    assert caught.value.details() == "etcdserver: mvcc: required revision is a future revision"


async def test_a_list_in_pages_at_one_revision(store: Store) -> None:
    prefix = b"/registry/pages/"
    revision = await store.fill(prefix, 25)
    key, found, rest = prefix, 0, []
    at = 0
    while True:
        page = await store.kv.Range(pb.RangeRequest(key=key, range_end=_end(prefix), limit=10, revision=at))
        assert page.count == 25 - found  # what remains, this page included
        found += len(page.kvs)
        rest.append(page.more)
        at = at or page.header.revision
        if not page.more:
            break
        key = page.kvs[-1].key + b"\0"
        await store.put(prefix + b"00000-%d" % found, b"later", 0)
    assert (found, rest) == (25, [True, True, False])
    assert at == revision


async def test_a_linearizable_count(store: Store) -> None:
    prefix = b"/registry/count/"
    await store.fill(prefix, 12)
    counted = await store.kv.Range(pb.RangeRequest(key=prefix, range_end=_end(prefix), count_only=True))
    assert (counted.count, len(counted.kvs), counted.more) == (12, 0, False)
    keys = await store.kv.Range(pb.RangeRequest(key=prefix, range_end=_end(prefix), keys_only=True, limit=3))
    assert [each.value for each in keys.kvs] == [b"", b"", b""]


async def test_events_share_a_lease(store: Store) -> None:
    prefix = b"/registry/events/"
    lease = (await store.lease.LeaseGrant(pb.LeaseGrantRequest(TTL=3660))).ID
    for number in range(5):
        assert (await store.put(prefix + b"%d" % number, b"e", 0, lease)).succeeded
    left = await store.lease.LeaseTimeToLive(pb.LeaseTimeToLiveRequest(ID=lease, keys=True))
    assert len(left.keys) == 5
    assert 3600 < left.TTL <= left.grantedTTL == 3660
    await store.lease.LeaseRevoke(pb.LeaseRevokeRequest(ID=lease))
    assert (await store.kv.Range(pb.RangeRequest(key=prefix, range_end=_end(prefix)))).count == 0
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await store.put(prefix + b"x", b"e", 0, lease)
    assert caught.value.details() == "etcdserver: requested lease not found"


async def test_the_compactor(store: Store) -> None:
    """Of several apiservers the one whose turn it is compacts to what was current a turn ago."""

    async def turn(time: int, revision: int) -> tuple[bool, int, int]:
        key = b"compact_rev_key"
        compare = pb.Compare(result=pb.Compare.EQUAL, target=pb.Compare.VERSION, key=key, version=time)
        answer = await store.kv.Txn(
            pb.TxnRequest(
                compare=[compare],
                success=[pb.RequestOp(request_put=pb.PutRequest(key=key, value=b"%d" % revision))],
                failure=[pb.RequestOp(request_range=pb.RangeRequest(key=key))],
            )
        )
        if answer.succeeded:
            return True, time + 1, answer.header.revision
        kv = answer.responses[0].response_range.kvs[0]
        return False, kv.version, answer.header.revision

    assert (await turn(0, 0))[:2] == (True, 1)
    mine, time, revision = await turn(0, 0)
    assert (mine, time) == (False, 1)  # another was first
    mine, time, revision = await turn(1, revision)
    assert (mine, time) == (True, 2)
    await store.kv.Compact(pb.CompactionRequest(revision=revision - 1))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await store.kv.Compact(pb.CompactionRequest(revision=revision - 1))
    assert caught.value.details() == "etcdserver: mvcc: required revision has been compacted"


async def test_watches_and_requests_for_progress(store: Store) -> None:
    prefix = b"/registry/watched/"
    revision = await store.fill(prefix, 3)
    stream = store.watches.Watch(metadata=REQUIRE_LEADER)
    for number in (0, 1):
        create = pb.WatchCreateRequest(
            key=prefix,
            range_end=_end(prefix),
            start_revision=revision + 1,
            prev_kv=True,
            progress_notify=True,
        )
        await stream.write(pb.WatchRequest(create_request=create))
        created = await stream.read()
        assert (created.watch_id, created.created, created.header.revision) == (number, True, revision)
    before = (await store.kv.Range(pb.RangeRequest(key=prefix + b"00001"))).kvs[0].mod_revision
    updated = await store.put(prefix + b"00001", b"new", before)
    deleted = await store.delete(prefix + b"00001", updated.header.revision)
    seen: dict[int, list[kv_pb2.Event]] = {0: [], 1: []}
    while min(map(len, seen.values())) < 2:
        answer = await stream.read()
        seen[answer.watch_id] += answer.events
    for events in seen.values():
        assert [(e.type, e.kv.mod_revision) for e in events] == [
            (kv_pb2.Event.PUT, updated.header.revision),
            (kv_pb2.Event.DELETE, deleted.header.revision),
        ]
        assert [e.prev_kv.value for e in events] == [b"v" * 10, b"new"]
    if store.name == "balsa":  # an etcd of that age may answer before its watches are synced
        elsewhere = await store.put(b"/registry/elsewhere", b"", 0)
        await stream.write(pb.WatchRequest(progress_request=pb.WatchProgressRequest()))
        progress = await stream.read()
        assert (progress.watch_id, len(progress.events)) == (-1, 0)
        assert progress.header.revision >= elsewhere.header.revision
    stream.cancel()


async def test_a_watch_from_a_compacted_revision(store: Store) -> None:
    revision = await store.fill(b"/registry/old/", 4)
    await store.kv.Compact(pb.CompactionRequest(revision=revision))
    stream = store.watches.Watch(metadata=REQUIRE_LEADER)
    create = pb.WatchCreateRequest(key=b"/registry/old/", range_end=b"/registry/old0", start_revision=2)
    await stream.write(pb.WatchRequest(create_request=create))
    created, cancelled = await stream.read(), await stream.read()
    assert created.created
    assert (cancelled.canceled, cancelled.compact_revision) == (True, revision)
    stream.cancel()


async def test_a_large_history_to_many_watches_of_one_stream(store: Store) -> None:
    """As after a restart: every resource's cache catches up on the same stream."""
    prefix, count, watches = b"/registry/large/", 300, 8
    revision = await store.fill(prefix, count, 20_000)
    first = revision - count + 1
    stream = store.watches.Watch(metadata=REQUIRE_LEADER)
    for _ in range(watches):
        create = pb.WatchCreateRequest(key=prefix, range_end=_end(prefix), start_revision=first)
        await stream.write(pb.WatchRequest(create_request=create))
    seen: dict[int, list[int]] = {number: [] for number in range(watches)}
    async with asyncio.timeout(TIMEOUT_S):
        while min(map(len, seen.values())) < count:
            answer = await stream.read()
            seen[answer.watch_id] += [event.kv.mod_revision for event in answer.events]
    assert all(revisions == list(range(first, revision + 1)) for revisions in seen.values())
    stream.cancel()


async def test_probes(store: Store) -> None:
    """The health check's read, and the members by which the client finds its endpoints."""
    health = await store.kv.Range(pb.RangeRequest(key=b"/registry/health"))
    assert health.header.revision > 0
    members = (await store.cluster.MemberList(pb.MemberListRequest())).members
    assert [list(member.clientURLs) for member in members] == [[store.url]]
    alarms = await store.maintenance.Alarm(pb.AlarmRequest(action=pb.AlarmRequest.GET))
    assert len(alarms.alarms) == 0


async def test_a_stream_of_a_range(store: Store) -> None:
    """etcd 3.7's; a client that asks an older one is told that there is none."""
    prefix = b"/registry/stream/"
    await store.fill(prefix, 1200)
    request = pb.RangeRequest(key=prefix, range_end=_end(prefix), limit=1100)
    call = store.channel.unary_stream(
        "/etcdserverpb.KV/RangeStream", request_serializer=pb.RangeRequest.SerializeToString
    )(request)
    if store.name == "etcd":
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        return
    whole = pb.RangeResponse()
    pieces = 0
    async for piece in call:
        whole.MergeFromString(_only_field(piece))
        pieces += 1
    assert pieces == 3
    assert whole == await store.kv.Range(request)


def _only_field(message: bytes) -> bytes:
    """The value of field 1, which is all there is."""
    position = 1
    while message[position] >= 0x80:
        position += 1
    return message[position + 1 :]


PINGS = {"three at once": (3, True), "four at once": (4, False)}


@pytest.mark.parametrize(("pings", "allowed"), PINGS.values(), ids=PINGS)
async def test_pings_that_come_too_often(store: Store, pings: int, allowed: bool) -> None:
    """Every 30 s is what an apiserver sends. The first is forgiven, since the server had something to say
    before; the third strike ends the connection."""
    if store.name == "etcd":
        pytest.skip("where gRPC shares its port with HTTP, as here, etcd's library does not count pings")
    context = store.tls.client_context()
    context.set_alpn_protocols(["h2"])
    host, port = store.url.removeprefix("https://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    head = b"\x83\x87" + literal(b":path", b"/etcdserverpb.Watch/Watch")
    head += literal(b"content-type", b"application/grpc") + literal(b"te", b"trailers")
    writer.write(f.PREFACE + f.settings({}) + f.frame(f.HEADERS, f.END_HEADERS, 1, head))
    create = pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"x")).SerializeToString()
    writer.write(f.frame(f.DATA, 0, 1, b"\0" + len(create).to_bytes(4, "big") + create))
    frames = _frames(reader)
    while (await anext(frames))[0] != f.DATA:  # created: from here on the server has nothing to say
        pass
    for number in range(pings):
        writer.write(f.frame(f.PING, 0, 0, bytes((number,)) * 8))
    for _ in range(pings):
        assert (await anext(frames))[:2] == (f.PING, f.ACK)
    writer.write(f.settings({}))
    kind, _, payload = await anext(frames)
    assert kind == (f.SETTINGS if allowed else f.GOAWAY)
    if not allowed:
        assert int.from_bytes(payload[4:8], "big") == f.ErrorCode.ENHANCE_YOUR_CALM
        assert payload[8:] == b"too_many_pings"
    writer.close()


async def _frames(reader: asyncio.StreamReader) -> AsyncIterator[tuple[int, int, bytes]]:
    """(kind, flags, payload); a server's own pings are passed over."""
    while True:
        async with asyncio.timeout(TIMEOUT_S):
            head = await reader.readexactly(f.HEAD_BYTES)
            payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
        if head[3] != f.PING or head[4] & f.ACK:
            yield head[3], head[4], payload
