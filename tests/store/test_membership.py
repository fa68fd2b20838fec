"""A dead member is removed; a new one is added, catches up as a learner and is promoted, while clients write."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from store.client import OutcomeUnknown, StoreClient, StoreError

from .conftest import BalsaMember, TlsFiles, balsa_cluster, eventually, free_port


@pytest.mark.cluster
async def test_a_dead_member_is_replaced_under_load(tmp_path: Path, tls: TlsFiles) -> None:
    flags = ["--snapshot-count=100"]
    async with balsa_cluster(tmp_path, tls, size=3, flags=flags) as cluster, cluster.client() as client:
        written: list[bytes] = []
        stop = asyncio.Event()
        writer = asyncio.create_task(_write(client, written, stop))
        await eventually(lambda: len(written) > 300)
        leader = await cluster.leader()
        dead = next(member for member in cluster.members if member is not leader)
        await dead.kill()
        await client.member_remove(await _id(client, dead.name))

        peer_url = f"https://127.0.0.1:{free_port()}"
        joining = BalsaMember(tmp_path, tls, "m4", free_port(), f"m4={peer_url}")
        live = [member.url for member in cluster.members if member is not dead]
        joining.flags = ["--initial-cluster-state=existing", "--join-endpoints", ",".join(live)]
        added = await client.member_add([peer_url], is_learner=True)
        cluster.members[cluster.members.index(dead)] = joining
        await joining.start()
        await eventually(lambda: _promoted(client, added.id))
        before = len(written)
        await eventually(lambda: len(written) > before + 100)
        stop.set()
        await writer

        async with cluster.client(joining.url) as through:
            found = {kv.key for kv in (await through.range(b"k/", b"k0")).kvs}
        assert set(written) <= found
        members = await client.members()
        assert {member.name for member in members} == {member.name for member in cluster.members}
        assert not any(member.is_learner for member in members)


@pytest.mark.cluster
async def test_a_member_joins_by_the_peers_of_the_initial_cluster_alone(
    tmp_path: Path, tls: TlsFiles
) -> None:
    """As etcd's own: `--initial-cluster-state existing`, and `--initial-cluster` names everybody."""
    async with balsa_cluster(tmp_path, tls, size=1) as cluster, cluster.client() as client:
        await client.put(b"k/before", b"v")
        peer_url = f"https://127.0.0.1:{free_port()}"
        others = cluster.initial_cluster
        joining = BalsaMember(tmp_path, tls, "m2", free_port(), f"{others},m2={peer_url}")
        joining.flags = ["--initial-cluster-state=existing"]
        added = await client.member_add([peer_url], is_learner=True)
        cluster.members.append(joining)
        await joining.start()
        await eventually(lambda: _promoted(client, added.id))
        async with cluster.client(joining.url) as through:
            assert (await through.range(b"k/before")).kvs[0].value == b"v"


async def _write(client: StoreClient, written: list[bytes], stop: asyncio.Event) -> None:
    number = 0
    while not stop.is_set():
        number += 1
        key = b"k/%d" % number
        try:
            await client.put(key, b"v")
        except OutcomeUnknown:
            continue
        written.append(key)


async def _id(client: StoreClient, name: str) -> int:
    return next(member.id for member in await client.members() if member.name == name)


async def _promoted(client: StoreClient, id: int) -> bool:
    """Refused until the learner has caught up."""
    try:
        await client.member_promote(id)
    except StoreError:
        return False
    return True
