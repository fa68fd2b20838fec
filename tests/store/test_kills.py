"""Members are killed and come back while clients write: every acknowledged write is there, exactly once.

A key is written once by one writer, so a write applied twice shows as version 2. A watch runs through it
all from one member to the next; it must deliver every change once, in order, and nothing else. In the end
all members have the same hash.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from store.client import Event, OutcomeUnknown, StoreClient, StoreError, Unavailable, prefix_end

from .conftest import BalsaCluster, TlsFiles, balsa_cluster, eventually

PREFIX = b"/kills/"
WRITERS = 6
KILLS = 8
SEED = 20240607
SETTLE_TIMEOUT_S = 30.0


@dataclass
class Writes:
    """What the writers know of each key."""

    acknowledged: dict[bytes, int] = field(default_factory=dict)  # key → revision
    unknown: set[bytes] = field(default_factory=set)
    refused: set[bytes] = field(default_factory=set)


async def _write(client: StoreClient, name: int, writes: Writes, stop: asyncio.Event) -> None:
    number = 0
    while not stop.is_set():
        key = PREFIX + f"{name}/{number:06d}".encode()
        number += 1
        try:
            response = await client.put(key, b"%d" % number)
        except OutcomeUnknown:
            writes.unknown.add(key)
        except Unavailable:
            writes.refused.add(key)
        else:
            writes.acknowledged[key] = response.revision


async def _watch(client: StoreClient, seen: list[Event], start_revision: int) -> None:
    async for response in client.watch(PREFIX, prefix_end(PREFIX), start_revision=start_revision):
        seen.extend(response.events)


async def _kill_in_turn(cluster: BalsaCluster, writes: Writes, rng: random.Random) -> None:
    """One member at a time: kill, let it be dead for a moment, start it, wait until writes have gone on."""
    for number in range(KILLS):
        victim = await cluster.leader() if number % 2 == 0 else rng.choice(cluster.members)
        await asyncio.sleep(rng.uniform(0.1, 0.5))
        await victim.kill()
        await asyncio.sleep(rng.uniform(0.2, 0.8))
        await victim.start()
        await _progress(writes)


async def _progress(writes: Writes) -> None:
    """Until another fifty writes are acknowledged."""
    wanted = len(writes.acknowledged) + 50
    await eventually(lambda: len(writes.acknowledged) >= wanted, SETTLE_TIMEOUT_S)


async def _hashes_agree(cluster: BalsaCluster, revision: int) -> bool:
    async with cluster.client() as client:
        found = set()
        for url in cluster.urls:
            with contextlib.suppress(StoreError):
                found.add(await client.hash_kv(url, revision))
                continue
            return False
        return len(found) == 1


@pytest.mark.cluster
async def test_every_acknowledged_write_is_there_exactly_once(tmp_path: Path, tls: TlsFiles) -> None:
    flags = ["--snapshot-count=500"]
    async with balsa_cluster(tmp_path, tls, size=3, flags=flags) as cluster, cluster.client() as client:
        writes, seen, stop = Writes(), [], asyncio.Event()
        start = (await client.range(PREFIX)).revision + 1
        watcher = asyncio.create_task(_watch(client, seen, start))
        writers = [asyncio.create_task(_write(client, n, writes, stop)) for n in range(WRITERS)]
        try:
            await _kill_in_turn(cluster, writes, random.Random(SEED))
        finally:
            stop.set()
            await asyncio.gather(*writers)
        await _check(cluster, client, writes, seen)
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)


async def _check(cluster: BalsaCluster, client: StoreClient, writes: Writes, seen: list[Event]) -> None:
    final = await client.range(PREFIX, prefix_end(PREFIX))
    found = {kv.key: kv for kv in final.kvs}
    missing = [key for key in writes.acknowledged if key not in found]
    assert not missing, f"{len(missing)} acknowledged writes are lost, first {missing[:3]}"
    assert all(found[key].mod_revision == revision for key, revision in writes.acknowledged.items())
    assert not [key for key, kv in found.items() if kv.version != 1], "a write was applied twice"
    assert not writes.refused & found.keys(), "a write that was refused for certain was applied"
    assert set(found) <= writes.acknowledged.keys() | writes.unknown

    await eventually(lambda: len(seen) >= len(found), SETTLE_TIMEOUT_S)
    await eventually(lambda: _hashes_agree(cluster, final.revision), SETTLE_TIMEOUT_S)
    delivered = [(event.kv.mod_revision, event.kv.key) for event in seen]
    assert delivered == sorted((kv.mod_revision, kv.key) for kv in found.values())
