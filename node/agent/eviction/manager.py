"""The shell of eviction: measures every `interval_s`, sets the node's conditions, ends one pod a round.

Pods beyond their own storage limits go first, all of them. Only when somebody has to go are pods measured whole;
otherwise only those with a limit are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from node.agent.eviction import ranking, usage
from node.agent.eviction.pressure import Observations, Pressure, Verdict
from node.agent.eviction.ranking import PodUse
from node.agent.eviction.thresholds import RESOURCE_OF, Threshold, parse_thresholds
from node.agent.node_object import Machine
from node.agent.parts import Parts
from node.agent.pod_spec import full_name, uid
from node.agent.pod_worker import PodWorker
from node.agent.view import Outcome
from node.runtime.interface import ContainerState
from store.component import logs

INTERVAL_S = 10.0
HARD_GRACE_S = 1.0
CLEANUP_TIMEOUT_S = 30.0
CLEANUP_POLL_S = 0.5

log = logs.get("node.eviction")


@dataclass(frozen=True, slots=True)
class EvictionSettings:
    thresholds: tuple[Threshold, ...] = parse_thresholds()
    transition_s: float = 300.0  # how long a condition stays after what caused it
    max_pod_grace_s: float = 0.0  # for a soft threshold
    interval_s: float = INTERVAL_S


class EvictionManager:
    def __init__(
        self,
        settings: EvictionSettings,
        parts: Parts,
        measure: Callable[[], Machine],
        workers: Callable[[], Iterable[PodWorker]],
        pods_root: Path,
        warn_node: Callable[[str, str], None],
        conditions_changed: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._parts = parts
        self._measure = measure
        self._workers = workers
        self._pods_root = pods_root
        self._warn_node = warn_node
        self._conditions_changed = conditions_changed
        self._pressure = Pressure(settings.thresholds, settings.transition_s)
        self.conditions: frozenset[str] = frozenset()

    def look(self) -> tuple[Verdict, Observations]:
        """Measure the machine; what it is short of is known afterwards."""
        observations = usage.signals(self._measure())
        verdict = self._pressure.observe(observations, self._parts.clock.monotonic())
        if verdict.conditions != self.conditions:
            log.warning(
                "the node's pressure changed", conditions=", ".join(sorted(verdict.conditions)) or "none"
            )
            self.conditions = verdict.conditions
            self._conditions_changed()
        return verdict, observations

    async def run(self) -> None:
        while True:
            evicted = await self.round()
            if evicted:
                await self._wait_until_released(evicted)
            else:
                await self._parts.clock.sleep(self._settings.interval_s)

    async def round(self) -> list[PodWorker]:
        """Who was evicted."""
        verdict, observations = self.look()
        active = {uid(each.pod): each for each in self._workers() if each.occupies and _has_run(each)}
        evicted = await self._beyond_their_limits(active)
        if evicted or not verdict.to_reclaim:
            return evicted
        threshold = verdict.to_reclaim[0]
        self._warn_node("EvictionThresholdMet", f"Attempting to reclaim {RESOURCE_OF[threshold.signal]}")
        for use in ranking.rank(await self._uses(active.values()), RESOURCE_OF[threshold.signal]):
            if not ranking.is_critical(use.pod):
                worker = active[uid(use.pod)]
                self._evict(worker, ranking.message(use, threshold, observations), threshold)
                return [worker]
        log.warning("nothing can be evicted", signal=threshold.signal)
        return []

    async def _beyond_their_limits(self, active: dict[str, PodWorker]) -> list[PodWorker]:
        evicted = []
        limited = [each for each in active.values() if ranking.has_storage_limits(each.pod)]
        for use in await self._uses(limited):
            message = ranking.over_its_limits(use)
            if message is not None and not ranking.is_critical(use.pod):
                self._evict(active[uid(use.pod)], message, None)
                evicted.append(active[uid(use.pod)])
        return evicted

    async def _uses(self, workers: Iterable[PodWorker]) -> list[PodUse]:
        pods = [(each.pod, each.containers) for each in workers]
        if not pods:
            return []
        return await asyncio.to_thread(usage.measure, pods, self._pods_root, self._parts.log_root)

    def _evict(self, worker: PodWorker, message: str, threshold: Threshold | None) -> None:
        log.warning("evicting a pod", pod=full_name(worker.pod), why=message)
        self._parts.warn(worker.pod, ranking.REASON, message)
        is_soft = threshold is not None and not threshold.is_hard
        grace_s = self._settings.max_pod_grace_s if is_soft else HARD_GRACE_S
        disruption = "TerminationByKubelet" if threshold is not None else ""
        worker.end(Outcome("Failed", ranking.REASON, message, grace_s, disruption))

    async def _wait_until_released(self, evicted: list[PodWorker]) -> None:
        """Until then the memory and the disk are as short as before, and another pod would go for nothing."""
        clock = self._parts.clock
        deadline_s = clock.monotonic() + CLEANUP_TIMEOUT_S
        while not all(each.is_released for each in evicted) and clock.monotonic() < deadline_s:
            await clock.sleep(CLEANUP_POLL_S)


def _has_run(worker: PodWorker) -> bool:
    return any(each.state is not ContainerState.CREATED for each in worker.containers)
