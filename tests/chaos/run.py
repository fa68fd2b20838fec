"""One run: load, a fault at a time with rest between, then judgement and a report.

Judged: the history is linearizable; every watcher was shown every change once and in order; each
acknowledged write is among them at its revision; all members have the same hash.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import random
import signal
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from store.client import Event, StoreClient, StoreError
from tests.chaos.cluster import ChaosCluster, ChaosMember
from tests.chaos.load import PREFIX, Watcher, Worker
from tests.sim.linearizability import check, give_hints

SETTLE_TIMEOUT_S = 30.0
TICK_S = 0.01
FLAGS = ["--snapshot-count=2000"]


class Violation(Exception):
    """The text says what promise was broken."""


@dataclass(slots=True)
class Episode:
    fault: str
    began: float
    ended: float = 0.0
    longest_s: float = 0.0  # without any answer to anybody, until shortly after it ended


@dataclass(slots=True)
class Report:
    seed: int
    seconds: float = 0.0
    operations: int = 0
    unanswered: int = 0
    changes: int = 0
    calm_per_s: float = 0.0  # operations per second between faults
    late_s: float = 0.0  # the load's own loop, at most: so much of what follows is not the store's
    steps: int = 0
    episodes: list[Episode] = field(default_factory=list)

    def text(self) -> str:
        lines = [
            f"seed {self.seed}: {self.operations} operations in {self.seconds:.0f} s, {self.unanswered} without an "
            f"answer, {self.changes} changes, each seen once and in order by every watcher",
            f"linearizable ({self.steps} steps of search); {self.calm_per_s:.0f} operations/s between faults; "
            f"the load itself was late by {self.late_s:.2f} s at most",
            f"{'fault':<20} {'times':>5} {'longest without an answer (s)':>30} {'median':>8}",
        ]
        by_fault: dict[str, list[float]] = defaultdict(list)
        for episode in self.episodes:
            by_fault[episode.fault].append(episode.longest_s)
        for fault, times in sorted(by_fault.items()):
            times.sort()
            lines.append(f"{fault:<20} {len(times):>5} {times[-1]:>30.2f} {times[len(times) // 2]:>8.2f}")
        return "\n".join(lines)


class Chaos:
    def __init__(self, directory: Path, seed: int, seconds: float, rest_s: float, workers: int) -> None:
        self.cluster = ChaosCluster(directory, FLAGS)
        self.rng = random.Random(seed)
        self.report = Report(seed)
        self.finished: list[float] = []
        self._clients: list[StoreClient] = []
        self._seconds, self._rest_s, self._worker_count = seconds, rest_s, workers
        self._faults: list[Callable[[], Awaitable[str]]] = [
            self.kill,
            self.kill,
            self.pause,
            self.isolate,
            self.one_way,
            self.slow_disk,
            self.full_disk,
            self.clock_step,
            self.kill_all,
            self.mixed,
            self.replace,
        ]

    async def run(self) -> Report:
        cluster, loop = self.cluster, asyncio.get_running_loop()
        supervisor = None
        try:
            await cluster.start()
            supervisor = asyncio.create_task(cluster.supervise())
            stop = asyncio.Event()
            start = 1
            workers = []
            for number in range(self._worker_count):  # each prefers another member
                name = f"w{number}"
                rng = random.Random(f"{self.report.seed}/{name}")
                workers.append(Worker(name, self._client(), rng, self.finished))
            watchers = [Watcher(self._client(), start) for _ in range(3)]
            watching = [asyncio.create_task(each.run()) for each in watchers]
            working = [asyncio.create_task(each.run(stop)) for each in workers]
            ticking = asyncio.create_task(self._tick(stop))
            began = loop.time()
            await self._strike_until(began + self._seconds)
            stop.set()
            await asyncio.gather(*working, ticking)
            self.report.seconds = loop.time() - began
            await self._judge(workers, watchers)
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
            self._measure(began)
            return self.report
        finally:
            if supervisor is not None:
                supervisor.cancel()
            for client in self._clients:
                await client.close()
            await cluster.stop()
            gc.unfreeze()

    def _client(self) -> StoreClient:
        """One more client, that prefers another member than the one before."""
        self._clients.append(self.cluster.client(*self.cluster.urls_from(len(self._clients))))
        return self._clients[-1]

    async def _strike_until(self, end: float) -> None:
        loop = asyncio.get_running_loop()
        order: list[Callable[[], Awaitable[str]]] = []
        await asyncio.sleep(self._rest_s)
        while loop.time() < end:
            if not order:  # all of them, in another order each time
                order = self.rng.sample(self._faults, len(self._faults))
            episode = Episode("", loop.time())
            episode.fault = await order.pop()()
            episode.ended = loop.time()
            self.report.episodes.append(episode)
            await asyncio.sleep(self._rest_s)
            gc.freeze()  # millions of operations, or to look for cycles among them stops the load for seconds

    async def _tick(self, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        while not stop.is_set():
            due = loop.time() + TICK_S
            await asyncio.sleep(TICK_S)
            self.report.late_s = max(self.report.late_s, loop.time() - due)

    # Faults; each ends healed

    async def _victim(self) -> ChaosMember:
        if self.rng.random() < 0.5:
            leader = await self.cluster.leader()
            assert isinstance(leader, ChaosMember)
            return leader
        return self.rng.choice(self.cluster.members)

    async def _for_a_while(self, longest_s: float = 3.0) -> None:
        await asyncio.sleep(self.rng.uniform(0.5, longest_s))

    async def kill(self) -> str:
        member = await self.cluster.leader()
        await member.kill()  # the supervisor starts it again
        await asyncio.sleep(1.0)
        return "kill the leader"

    async def kill_all(self) -> str:
        await asyncio.gather(*(member.kill() for member in self.cluster.members))
        await asyncio.sleep(1.0)
        return "kill all"

    async def pause(self) -> str:
        member = await self._victim()
        member.signal(signal.SIGSTOP)
        await self._for_a_while()
        member.signal(signal.SIGCONT)
        return "pause"

    async def isolate(self) -> str:
        member = await self._victim()
        others = [each.name for each in self.cluster.members if each is not member]
        member.break_(cut_to=others, cut_from=others)
        await self._for_a_while()
        member.break_()
        return "isolate"

    async def one_way(self) -> str:
        member = await self._victim()
        others = [each.name for each in self.cluster.members if each is not member]
        member.break_(**{self.rng.choice(["cut_to", "cut_from"]): others})
        await self._for_a_while()
        member.break_()
        return "one-way partition"

    async def slow_disk(self) -> str:
        member = await self._victim()
        member.break_(sync_delay_s=self.rng.choice([0.02, 0.1, 0.6, 1.5]))
        await self._for_a_while()
        member.break_()
        return "slow disk"

    async def full_disk(self) -> str:
        member = await self._victim()
        member.break_(disk_error=errno.ENOSPC)
        await self._for_a_while()
        member.break_()
        await asyncio.sleep(0.5)
        return "full disk"

    async def clock_step(self) -> str:
        """The time of day jumps on one member, and back while it is busy."""
        member = await self._victim()
        member.break_(clock_ahead_s=self.rng.choice([-86_400.0, -30.0, 30.0, 86_400.0]))
        await self._for_a_while()
        member.break_()
        return "clock step"

    async def replace(self) -> str:
        await self.cluster.replace(await self._victim())
        for turn, client in enumerate(self._clients):
            client.set_endpoints(self.cluster.urls_from(turn))
        return "replace a member"

    async def mixed(self) -> str:
        one, two = self.rng.sample(self.cluster.members, 2)
        one.break_(sync_delay_s=0.05)
        two.signal(signal.SIGSTOP)
        await self._for_a_while(1.5)
        await one.kill()
        two.signal(signal.SIGCONT)
        await self._for_a_while(1.5)
        one.break_()
        return "mixed"

    # Judgement

    async def _judge(self, workers: Sequence[Worker], watchers: Sequence[Watcher]) -> None:
        history = [operation for worker in workers for operation in worker.history]
        revision = await self._hashes_agree()
        events = await self._watched(watchers, revision)
        changes = [event.kv for event in events]
        give_hints(history, changes)
        verdict = check(history)
        if not verdict.linearizable:
            lines = "\n".join(f"    {each}" for each in verdict.operations)
            raise Violation(
                f"history: {'not decided' if verdict.unknown else 'not linearizable'}, around\n{lines}"
            )
        shown = {(kv.mod_revision, kv.key, kv.value) for kv in changes}
        for operation in history:
            for do in operation.success if operation.succeeded else ():
                if do.kind == "put" and (operation.hint, do.key, do.value) not in shown:
                    raise Violation(
                        f"watch: {do} at revision {operation.hint} was acknowledged and never shown"
                    )
        self.report.operations = len(history)
        self.report.unanswered = sum(each.succeeded is None for each in history)
        self.report.changes, self.report.steps = len(changes), verdict.steps

    async def _hashes_agree(self) -> int:
        """Every member has the same history; returns the revision."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SETTLE_TIMEOUT_S
        async with self.cluster.client() as client:
            revision = (await client.range(PREFIX)).revision
            while True:
                try:
                    found = {await client.hash_kv(url, revision) for url in self.cluster.urls}
                except StoreError:
                    found = set()
                if len({hashed for hashed, _ in found}) == 1:
                    return revision
                if loop.time() > deadline:
                    raise Violation(f"equal hashes: not within {SETTLE_TIMEOUT_S:g} s: {found}")
                await asyncio.sleep(0.1)

    async def _watched(self, watchers: Sequence[Watcher], revision: int) -> list[Event]:
        """What all watchers were shown, which must be the same."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SETTLE_TIMEOUT_S
        while len({len(each.events) for each in watchers}) > 1 or not _reaches(watchers[0].events, revision):
            if loop.time() > deadline:
                break
            await asyncio.sleep(0.1)
        shown = [[(event.kv.mod_revision, event.kv.key) for event in each.events] for each in watchers]
        if any(each != shown[0] for each in shown):
            raise Violation(f"watch: watchers were shown different changes: {[len(each) for each in shown]}")
        seen: set[tuple[int, bytes]] = set()
        for (revision_before, _), (revision, key) in pairwise([(0, b""), *shown[0]]):
            if revision < revision_before or (revision, key) in seen:
                raise Violation(
                    f"watch: {key!r} at {revision} after {revision_before}, out of order or again"
                )
            seen.add((revision, key))
        return watchers[0].events

    def _measure(self, began: float) -> None:
        finished = sorted(self.finished)
        episodes = self.report.episodes
        calm_s, calm_operations, at = 0.0, 0, began
        for number, episode in enumerate(episodes):
            until = episodes[number + 1].began if number + 1 < len(episodes) else episode.ended + self._rest_s
            inside = [episode.began, *(each for each in finished if episode.began <= each <= until), until]
            episode.longest_s = max(b - a for a, b in pairwise(inside))
        for episode in [*episodes, None]:
            end = episode.began if episode is not None else began + self.report.seconds
            settled = at + (1.0 if at > began else 0.0)  # after a fault it takes a moment
            if end > settled:
                calm_s += end - settled
                calm_operations += sum(settled <= each < end for each in finished)
            if episode is not None:
                at = episode.ended
        self.report.calm_per_s = calm_operations / calm_s if calm_s else 0.0


def _reaches(events: Sequence[Event], revision: int) -> bool:
    return bool(events) and events[-1].kv.mod_revision >= revision
