"""What a member does beside answering: free compacted memory, compact by itself, notify progress, sweep
connections.

Auto-compaction runs on the leader only. `periodic` samples the revision and compacts to the one that was
current a period ago; `revision` keeps the last N.
"""

from __future__ import annotations

import asyncio
import gc
from collections import deque
from collections.abc import Callable

from store.api.flags import Retention
from store.api.http1 import Server
from store.api.metrics import Metrics
from store.api.service import RELEASE_STEP, StoreService
from store.component import logs
from store.mvcc.errors import Compacted, RequestError
from store.mvcc.messages import CompactionRequest
from store.raft.interface import Role

RELEASE_INTERVAL_S = 0.1
RELEASE_PAUSE_S = 0.005  # between steps, for others to run
SWEEP_INTERVAL_S = 5.0
LEADER_INTERVAL_S = 0.2
FREEZE_INTERVAL_S = 0.25
COLLECT_AFTER = (500, 20, 50)  # new objects, and collections of the younger generation
FREEZE_KEYS = 100_000  # new ones; a thousand stand in one object of the index
REVISION_MODE_INTERVAL_S = 300.0  # etcd's
SAMPLES_PER_PERIOD = 10

log = logs.get("housekeeping")


async def release_memory(service: StoreService) -> None:
    while True:
        more = service.machine.release_some(RELEASE_STEP)
        await asyncio.sleep(RELEASE_PAUSE_S if more else RELEASE_INTERVAL_S)


async def tend_collector(service: StoreService) -> None:
    """Keep the garbage collector from walking the whole store: a million keys would stall the loop for 0.1
    s, often.

    What has been live through a collection is frozen, that is, no longer looked at. References still free
    it; only a cycle made of frozen objects would stay, and the store's data has none. How often follows
    from how many objects and keys are new, by whatever they came: so there never is much to be looked at,
    and it is looked at while it is in the processor's caches (a thousand entries of the log, some seconds
    old, between the values of a large store, can take 20 ms).
    """
    gc.set_threshold(*COLLECT_AFTER)
    collections_before = keys_before = -1
    while True:
        collections, keys = gc.get_stats()[0]["collections"], len(service.machine.store.index)
        if collections != collections_before or abs(keys - keys_before) >= FREEZE_KEYS:
            collections_before, keys_before = collections, keys
            gc.collect()
            gc.freeze()
        await asyncio.sleep(FREEZE_INTERVAL_S)


async def sweep_connections(server: Server) -> None:
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(SWEEP_INTERVAL_S)
        server.sweep(loop.time())


async def count_leaders(metrics: Metrics) -> None:
    while True:
        metrics.look_at_leader()
        await asyncio.sleep(LEADER_INTERVAL_S)


async def notify_progress(service: StoreService, interval_s: float) -> None:
    while True:
        await asyncio.sleep(interval_s)
        service.machine.hub.notify_progress()


async def auto_compact(service: StoreService, retention: Retention, now: Callable[[], float]) -> None:
    if retention.period_s is not None:
        await _compact_by_time(service, retention.period_s, now)
    elif retention.revisions is not None:
        await _compact_by_revision(service, retention.revisions)


async def _compact_by_time(service: StoreService, period_s: float, now: Callable[[], float]) -> None:
    interval_s = min(period_s, 3600.0) / SAMPLES_PER_PERIOD
    samples: deque[tuple[float, int]] = deque()
    while True:
        samples.append((now(), service.machine.store.revision))
        await asyncio.sleep(interval_s)
        old_enough = 0
        while samples and samples[0][0] <= now() - period_s:
            old_enough = samples.popleft()[1]
        if old_enough:
            await _compact(service, old_enough)


async def _compact_by_revision(service: StoreService, keep: int) -> None:
    while True:
        await asyncio.sleep(REVISION_MODE_INTERVAL_S)
        await _compact(service, service.machine.store.revision - keep)


async def _compact(service: StoreService, revision: int) -> None:
    leads = service.engine.status().role is Role.LEADER
    if not leads or revision <= service.machine.store.compact_revision:
        return
    try:
        await service.compact(CompactionRequest(revision))
        log.info("compacted", revision=revision)
    except Compacted:
        pass
    except RequestError as error:
        log.warning("could not compact", revision=revision, reason=error)
