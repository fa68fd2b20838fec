"""Random faults from a seed: loss, duplication, reordering, delays, partitions, crashes with torn writes.

After each seed: every acknowledged write is there exactly once, all members hold the same, no read was stale, and
no term had two leaders. A failure names its seed; `RAFT_SEEDS=123` in the environment replays it,
`RAFT_SEEDS=0-5000` runs many.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest

from store.raft.codec import decode
from store.raft.interface import RaftError
from tests.store.raft.memory_disk import MemoryDisk, PowerLoss
from tests.store.raft.simulated import Outcome, SimulatedCluster, ident, small

STEPS = 400
TORN_BYTES = [0, 0, 7, 50, None]


def seeds() -> list[int]:
    first, _, last = os.environ.get("RAFT_SEEDS", "0-39").partition("-")
    return list(range(int(first), int(last or first) + 1))


class Chaos:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        names = self.rng.choice(["ABC", "ABC", "ABCDE"])
        self.cluster = SimulatedCluster(
            names,
            seed,
            limits=small(),
            snapshot_count=self.rng.choice([10, 40, 10_000]),
            catch_up_entries=self.rng.choice([0, 5]),
        )
        self.down: dict[str, MemoryDisk] = {}
        self.writes: list[tuple[bytes, Outcome]] = []
        self.reads_answered = 0
        self.leaders: dict[int, str] = {}
        self.loss = self.rng.choice([0, 0.02, 0.2])
        self.duplication = self.rng.choice([0, 0.05])
        self.reordering = self.rng.choice([0, 0.05])
        self.healing = self.rng.choice([0.01, 0.04])

    def run(self) -> None:
        for _ in range(STEPS):
            self.step()
        self.recover()
        self.check()

    def step(self) -> None:
        rng, cluster = self.rng, self.cluster
        cluster.now += rng.choice([0.001, 0.02, 0.02, 0.1])
        fault = rng.random()
        if fault < 0.02:
            self.crash()
        elif fault < 0.06 and self.down:
            self.restart(rng.choice(sorted(self.down)))
        elif fault < 0.08:
            self.partition()
        elif fault < 0.08 + self.healing:
            cluster.cut = set()
        elif fault < 0.13:
            self.reset_connection()
        for name in rng.sample(sorted(cluster.members), len(cluster.members)):
            if rng.random() < 0.8:
                self.turn(name)
            if name in cluster.members:
                self.ask(name)
        self.deliver()

    def turn(self, name: str) -> None:
        member = self.cluster.members[name]
        if self.rng.random() < 0.005:  # power fails at one of the next operations on the disk
            member.disk.before = self.failing(member.disk.operations + self.rng.randint(1, 6))
        try:
            member.turn()
        except PowerLoss:
            self.down[name] = self.cluster.kill(name, self.rng.choice(TORN_BYTES))
            return
        if member.core.is_leader:
            assert self.leaders.setdefault(member.core.term, name) == name, "two leaders in a term"

    def ask(self, name: str) -> None:
        member = self.cluster.members[name]
        if self.rng.random() < 0.15:
            command = b"%d" % len(self.writes)
            self.writes.append((command, member.propose(command)))
        if self.rng.random() < 0.05:
            known = {command for command, outcome in self.writes if outcome.succeeded}
            member.replica.requests.reads.submit(self.cluster.now + 60, self.checked_read(name, known))

    def checked_read(self, name: str, acknowledged: set[bytes]) -> Callable[[int, RaftError | None], None]:
        """A read that must see all writes that were acknowledged when it began."""
        machine = self.cluster.members[name].machine

        def done(index: int, error: RaftError | None) -> None:
            if error is None:
                self.reads_answered += 1
                assert acknowledged <= set(machine.commands), "a stale read"

        return done

    def deliver(self) -> None:
        cluster, rng = self.cluster, self.rng
        for (source, target), queue in list(cluster.queues.items()):
            if rng.random() < self.reordering and len(queue) > 1:
                queue.rotate(1)
            for _ in range(rng.randrange(len(queue) + 1)):
                body = queue.popleft()
                if rng.random() < self.duplication:
                    queue.append(body)
                if rng.random() >= self.loss and target in cluster.members:
                    cluster.members[target].replica.on_message(ident(source), decode(body))

    def failing(self, operation: int) -> Callable[[int, str], None]:
        def before(number: int, name: str) -> None:
            if number >= operation:
                raise PowerLoss

        return before

    def partition(self) -> None:
        """Some links at random, in each direction alone; or one member, whole."""
        pairs = self.pairs()
        if self.rng.random() < 0.5:
            self.cluster.cut = {pair for pair in pairs if self.rng.random() < 0.3}
        elif pairs:
            alone = self.rng.choice(pairs)[0]
            self.cluster.cut = {pair for pair in pairs if alone in pair}

    def crash(self) -> None:
        if self.cluster.members:
            name = self.rng.choice(sorted(self.cluster.members))
            self.down[name] = self.cluster.kill(name, self.rng.choice(TORN_BYTES))

    def restart(self, name: str) -> None:
        self.cluster.boot(name, self.down.pop(name))

    def reset_connection(self) -> None:
        pair = self.rng.sample(sorted(self.cluster.members), min(2, len(self.cluster.members)))
        if len(pair) == 2:
            for one, other in (pair, pair[::-1]):
                self.cluster.queues[one, other].clear()
                self.cluster.members[one].replica.on_disconnected(ident(other))
                self.cluster.members[one].replica.on_connected(ident(other))

    def pairs(self) -> list[tuple[str, str]]:
        return [(a, b) for a in sorted(self.cluster.members) for b in sorted(self.cluster.members) if a != b]

    def recover(self) -> None:
        """Faults end: within a few election timeouts there is a leader, and all writes come to an end."""
        for member in self.cluster.members.values():
            member.disk.before = lambda number, name: None
        for name in sorted(self.down):
            self.restart(name)
        self.cluster.heal()
        self.cluster.run(20, until=self.recovered)

    def recovered(self) -> bool:
        members = self.cluster.members.values()
        applied = {each.core.applied for each in members}
        return (
            self.cluster.leader is not None
            and len(applied) == 1
            and self.cluster.leader.core.commit in applied
        )

    def check(self) -> None:
        self.cluster.run(2)
        self.cluster.run(20, until=self.recovered)  # what was lost is proposed again meanwhile
        members = list(self.cluster.members.values())
        held = members[0].machine
        assert all(each.machine.commands == held.commands for each in members), "members differ"
        lost = [
            command for command, outcome in self.writes if outcome.succeeded and held.counts[command] == 0
        ]
        assert lost == [], "acknowledged writes are lost"
        assert [command for command, count in held.counts.items() if count > 1] == [], "applied twice"
        outcome = members[-1].propose(b"after")
        self.cluster.run(5)
        assert outcome.succeeded, "the cluster works again"


@pytest.mark.parametrize("seed", seeds())
def test_random_faults(seed: int) -> None:
    Chaos(seed).run()
