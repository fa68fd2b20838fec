"""One seed, one run: a cluster, its clients, its faults; then calm, and judgement.

After the faults everything is healed and started again. The cluster must then come to rest within a bounded
time with all members in the same state; every watcher must have everything; the history must be linearizable.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from store.watch.stream import Spec
from tests.sim.linearizability import Operation, check, give_hints
from tests.sim.store.clients import KEYS, Compactor, Locker, Worker
from tests.sim.store.cluster import Cluster
from tests.sim.store.faults import Faults
from tests.sim.store.invariants import Violation
from tests.sim.store.watchers import Watcher
from tests.sim.store.world import World

MIN_OPERATIONS = 200
MIN_FAULTS = 5
LONGEST_S = 120.0
"""Virtual time after which the faults of a seed end, and again, after which it is stuck."""
REST_S = 40.0
"""Virtual time within which a healed cluster must agree."""
CALM_SHARE = 0.08


@dataclass(slots=True)
class Report:
    seed: int
    violation: str = ""
    operations: int = 0
    unanswered: int = 0
    faults: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    members: int = 0
    terms: int = 0
    locks: int = 0
    watched: int = 0
    virtual_s: float = 0.0
    events: int = 0
    digest: int = 0
    """Of the whole run: equal for equal seeds."""


class Simulation:
    def __init__(self, seed: int, trace: Callable[[str], None] | None = None, raising: bool = False) -> None:
        self.seed = seed
        logging.getLogger("store").setLevel(logging.CRITICAL)  # what members would log is in the trace
        self.world = World(seed, trace)
        rng = self.world.rng
        self.cluster = Cluster(self.world, rng.choice([3, 3, 5]), raising)
        self.history: list[Operation] = []
        self.holders: dict[str, float] = {}
        pace_s = rng.choice([0.03, 0.08, 0.15])
        self.workers = [
            Worker(self.cluster, f"c{number}", self.history, pace_s)
            for number in range(rng.choice([3, 4, 6]))
        ]
        self.lockers = [Locker(self.cluster, f"l{number}", self.holders) for number in range(2)]
        self.watchers = [
            Watcher(self.cluster, "w0", Spec(b"k/", b"k0")),
            Watcher(self.cluster, "w1", Spec(b"\0", b"\0")),
            Watcher(self.cluster, "w2", Spec(KEYS[0])),
        ]
        self.compactor = Compactor(self.cluster, 1.0)
        calm = rng.random() < CALM_SHARE
        if calm:
            weather = self.cluster.network.weather
            weather.loss = weather.duplication = weather.reordering = 0.0
        self.faults = Faults(self.cluster, 3.0 if calm else rng.choice([0.4, 0.8, 1.5]), calm)

    def run(self) -> Report:
        report = Report(self.seed)
        try:
            self._run()
        except Violation as violation:
            report.violation = str(violation)
        except Exception as error:
            if self.cluster.raising:
                raise
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}"
            report.violation = f"{type(error).__name__}: {error} ({where})"
        self._fill(report)
        return report

    def _run(self) -> None:
        world = self.world
        if not world.run(LONGEST_S, self._enough):
            self.faults.stopped = True  # so much was broken so often; in peace it must go on
        if not self._enough() and not world.run(LONGEST_S, self._enough):
            raise Violation(f"progress: {len(self.history)} operations in {LONGEST_S:g} s of virtual time")
        if self.faults.calm:
            self._check_calm()
        self._rest()
        self._judge()

    def _enough(self) -> bool:
        self.cluster.faults_to_come = self.faults.count < MIN_FAULTS
        return len(self.history) >= MIN_OPERATIONS + 20 and self.faults.count >= MIN_FAULTS

    def _check_calm(self) -> None:
        leaders = self.cluster.invariants.leaders
        if len(leaders) > 1:
            raise Violation(
                f"stability: followers were cut off and came back, and leaders changed: {leaders}"
            )

    def _rest(self) -> None:
        """End the faults, let clients finish, and wait for agreement."""
        self.faults.stopped = True
        self.cluster.network.heal()
        weather = self.cluster.network.weather
        for client in (*self.workers, *self.lockers, self.compactor):
            client.stopped = True
        self.world.run(6.0)
        weather.loss = weather.duplication = weather.reordering = 0.0
        for member in self.cluster.members.values():
            member.disk.failing = False
            member.disk.power_fails_in = None
            member.crash_after = None
            member.sync_s = (0.0003, 0.003)
            if member.paused:
                member.resume()
            self.cluster.restart(member)
        self.cluster.network.heal()
        if not self.world.run(REST_S, self._agreed):
            raise Violation(f"agreement: not within {REST_S:g} s after the last fault: {self._state()}")
        if not self.world.run(REST_S, lambda: all(each.up_to_date for each in self.watchers)):
            behind = [each.name for each in self.watchers if not each.up_to_date]
            raise Violation(f"watch: {behind} never got everything")

    def _agreed(self) -> bool:
        leader = self.cluster.leader
        if leader is None:
            return False
        end = leader.replica.core.log.last_index
        names = [self.cluster.name_of.get(each, "") for each in sorted(leader.replica.membership.members)]
        members = [self.cluster.members[name] for name in names if name in self.cluster.members]
        return leader.replica.core.noop_index > 0 and all(
            each.alive and each.replica.core.applied == end for each in members
        )

    def _state(self) -> str:
        return " ".join(
            f"{each.name}:{'up' if each.alive else 'down'},{each.replica.core.role.value},"
            f"term={each.replica.core.term},applied={each.replica.core.applied}/{each.storage.log.last_index}"
            for each in self.cluster.members.values()
        )

    def _judge(self) -> None:
        self._check_equal()
        give_hints(self.history, self.cluster.invariants.events)
        verdict = check(self.history)
        if not verdict.linearizable:
            why = "not decided" if verdict.unknown else "not linearizable"
            lines = "\n".join(f"    {each}" for each in verdict.operations)
            raise Violation(f"history: {why}, around\n{lines}")

    def _check_equal(self) -> None:
        leader = self.cluster.leader
        assert leader is not None
        states = {}
        for identifier in sorted(leader.replica.membership.members):
            member = self.cluster.members.get(self.cluster.name_of.get(identifier, ""))
            if member is not None:
                store, leases = member.machine.store, member.machine.leases
                table = sorted((each.id, each.ttl_s, each.renewals, sorted(each.keys)) for each in leases)
                states[member.name] = (store.revision, store.compact_revision, store.log.last_hash, table)
        if len({repr(each) for each in states.values()}) > 1:
            raise Violation(f"equal states: {states}")

    def _fill(self, report: Report) -> None:
        report.operations = len(self.history)
        report.unanswered = sum(each.succeeded is None for each in self.history)
        report.faults, report.kinds = self.faults.count, self.faults.kinds
        report.members = len(self.cluster.members)
        report.terms = len(self.cluster.invariants.leaders)
        report.locks = sum(each.taken for each in self.lockers)
        report.watched = sum(each.received for each in self.watchers)
        report.virtual_s = round(self.world.now, 1)
        report.events = self.world.events
        report.digest = hash((self.world.events, self.world.now, self.world.rng.getrandbits(32)))


def run_seed(seed: int, trace: Callable[[str], None] | None = None, raising: bool = False) -> Report:
    return Simulation(seed, trace, raising).run()
