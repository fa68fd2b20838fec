"""The client against Balsa's store and, where one is installed, a real etcd: the same cases, the same
results."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from store.client import (
    Compacted,
    Compare,
    FutureRevision,
    InvalidArgument,
    LeaseNotFound,
    Op,
    StoreClient,
    WatchResponse,
    prefix_end,
)

from ..conftest import TlsFiles, balsa_cluster, eventually, needs_etcd, real_etcd

DEADLINE_S = 10.0


@pytest.fixture(params=["balsa", "three balsas", pytest.param("etcd", marks=needs_etcd)])
async def client(request: pytest.FixtureRequest, tmp_path: Path, tls: TlsFiles) -> AsyncIterator[StoreClient]:
    if request.param == "etcd":
        async with real_etcd(tmp_path, tls) as url, StoreClient([url], tls.client_context()) as client:
            yield client
        return
    size = 3 if request.param == "three balsas" else 1
    async with balsa_cluster(tmp_path, tls, size) as cluster, cluster.client() as client:
        yield client


async def following(watch: AsyncIterator[WatchResponse]) -> WatchResponse:
    async with asyncio.timeout(DEADLINE_S):
        return await anext(watch)


async def test_keys_and_transactions(client: StoreClient) -> None:
    created = await client.put(b"a", b"1")
    changed = await client.put(b"a", b"2", prev_kv=True)
    assert changed.prev_kv is not None
    assert changed.prev_kv.value == b"1"
    won = await client.txn(
        [Compare.mod_revision(b"a", "=", changed.revision)], [Op.put(b"a", b"3"), Op.range(b"a")]
    )
    lost = await client.txn([Compare.mod_revision(b"a", "=", changed.revision)], [], [Op.range(b"a")])
    assert (won.succeeded, lost.succeeded) == (True, False)
    assert won.responses[1].kvs[0].value == lost.responses[0].kvs[0].value == b"3"
    past = await client.range(b"a", revision=created.revision)
    assert past.kvs[0].value == b"1"
    gone = await client.delete_range(b"a", prefix_end(b"a"), prev_kv=True)
    assert (gone.deleted, gone.prev_kvs[0].value) == (1, b"3")


async def test_large_values_and_many_keys(client: StoreClient) -> None:
    value = bytes(range(256)) * 4096
    await client.put(b"big", value)
    for start in range(0, 1000, 100):
        await client.txn((), [Op.put(b"n/%04d" % n, b"") for n in range(start, start + 100)])
    assert (await client.range(b"big")).kvs[0].value == value
    everything = await client.range(b"n/", prefix_end(b"n/"))
    page = await client.range(b"n/", prefix_end(b"n/"), limit=10)
    assert (len(everything.kvs), page.count, page.more, len(page.kvs)) == (1000, 1000, True, 10)


async def test_errors(client: StoreClient) -> None:
    with pytest.raises(InvalidArgument, match="key is not provided"):
        await client.put(b"", b"")
    with pytest.raises(FutureRevision):
        await client.range(b"a", revision=1 << 40)
    with pytest.raises(LeaseNotFound):
        await client.put(b"a", b"", lease=123)
    with pytest.raises(LeaseNotFound):
        await client.lease_revoke(123)
    with pytest.raises(InvalidArgument, match="too large"):
        await client.put(b"a", b"x" * (1600 * 1024))
    latest = (await client.put(b"a", b"")).revision
    await client.compact(latest)
    with pytest.raises(Compacted):
        await client.range(b"a", revision=latest - 1)
    with pytest.raises(Compacted):
        await client.compact(latest)


async def test_leases(client: StoreClient) -> None:
    lease = await client.lease_grant(60)
    await client.put(b"k", b"", lease=lease.id)
    assert await client.lease_keep_alive(lease.id) == 60
    left = await client.lease_time_to_live(lease.id, keys=True)
    assert (left.granted_ttl_s, left.keys) == (60, [b"k"])
    assert lease.id in await client.leases()
    await client.lease_revoke(lease.id)
    assert (await client.range(b"k")).count == 0
    with pytest.raises(LeaseNotFound):
        await client.lease_keep_alive(lease.id)


async def test_a_lease_runs_out_unless_it_is_kept(client: StoreClient) -> None:
    kept, left = await client.lease_grant(2), await client.lease_grant(2)
    await client.put(b"kept", b"", lease=kept.id)
    await client.put(b"left", b"", lease=left.id)
    keeper = client.lease_keeper(kept.id, kept.ttl_s)

    async def left_is_gone() -> bool:
        return (await client.range(b"left")).count == 0

    await eventually(left_is_gone)
    assert (await client.range(b"kept")).count == 1
    await client.lease_revoke(kept.id)
    async with asyncio.timeout(DEADLINE_S):
        await keeper.lost.wait()
    await keeper.close()


async def test_watch_past_and_present(client: StoreClient) -> None:
    start = (await client.put(b"w/a", b"1")).revision
    watch = client.watch(b"w/", prefix_end(b"w/"), start_revision=start, prev_kv=True)
    assert (await following(watch)).created
    assert [event.kv.value for event in (await following(watch)).events] == [b"1"]
    await client.delete_range(b"w/a")
    await client.put(b"elsewhere", b"")
    await client.txn((), [Op.put(b"w/b", b"2"), Op.put(b"w/c", b"3")])
    deletion = (await following(watch)).events[0]
    assert (deletion.type, deletion.kv.key) == ("DELETE", b"w/a")
    assert deletion.prev_kv is not None
    assert deletion.prev_kv.value == b"1"
    both = (await following(watch)).events
    assert [(event.type, event.kv.key, event.prev_kv) for event in both] == [
        ("PUT", b"w/b", None),
        ("PUT", b"w/c", None),
    ]
    assert both[0].kv.mod_revision == both[1].kv.mod_revision


async def test_watch_from_now_on(client: StoreClient) -> None:
    await client.put(b"w", b"before")
    watch = client.watch(b"w", filters=["NODELETE"])
    assert (await following(watch)).created
    await client.delete_range(b"w")
    await client.put(b"w", b"after")
    assert [event.kv.value for event in (await following(watch)).events] == [b"after"]
    await watch.close()
    with pytest.raises(StopAsyncIteration):
        await anext(watch)


async def test_watch_of_a_compacted_revision(client: StoreClient) -> None:
    for _ in range(3):
        latest = (await client.put(b"w", b"")).revision
    await client.compact(latest)
    watch = client.watch(b"w", start_revision=latest - 2)
    assert (await following(watch)).created
    with pytest.raises(Compacted) as caught:
        await following(watch)
    assert caught.value.revision == latest


async def test_watch_of_everything(client: StoreClient) -> None:
    watch = client.watch(b"", b"\x00")
    assert (await following(watch)).created
    await client.put(b"\x01", b"")
    assert [event.kv.key for event in (await following(watch)).events] == [b"\x01"]


async def test_status_and_members(client: StoreClient) -> None:
    status = await client.status()
    members = await client.members()
    assert status.leader in {member.id for member in members}
    assert all(member.peer_urls for member in members)
