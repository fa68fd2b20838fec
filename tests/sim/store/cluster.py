"""The members of one simulated cluster, what they share, and what faults may do to them."""

from __future__ import annotations

from collections.abc import Sequence

from store.raft import Join, Limits, Member
from tests.sim.store.invariants import Invariants
from tests.sim.store.member import SimMember, url
from tests.sim.store.network import Network, Weather
from tests.sim.store.world import World

LIMITS = Limits(
    append_bytes=2048,
    batch_bytes=4096,
    window_bytes=16_384,
    snapshot_chunk_bytes=2048,
    segment_bytes=8192,
    snapshot_wal_bytes=64 * 1024,
)
"""Small, so that every bound is met."""


SUPERVISED_S = 5.0
"""Whoever is dead for so long is started again, whatever the fault that killed it had in mind."""


class Cluster:
    def __init__(self, world: World, size: int, raising: bool = False) -> None:
        rng = world.rng
        self.world = world
        self.raising = raising
        self.invariants = Invariants()
        self.members: dict[str, SimMember] = {}
        self.name_of: dict[int, str] = {}
        self.limits = LIMITS
        self.election_timeout_s = rng.choice([0.5, 1.0])
        self.snapshot_count = rng.choice([8, 20, 60, 10_000])
        self.catch_up_entries = rng.choice([0, 5, 50])
        self.clock_drift = rng.choice([0.0, 0.01, 0.04])
        self.network = Network(world, self.members, _weather(world))
        self.removed: list[str] = []
        self.served_at = 0.0
        self.faults_to_come = True
        self._first = [chr(ord("A") + number) for number in range(size)]
        for name in self._first:
            self._create(name, None)
        for name in self._first:
            self.members[name].boot()

    def initial_names(self, name: str) -> Sequence[str]:
        return self._first if name in self._first else [name]

    def _create(self, name: str, join: Join | None) -> SimMember:
        member = self.members[name] = SimMember(self, name, join)
        self.name_of[member.id] = name
        return member

    def join(self, name: str, by: SimMember) -> SimMember:
        """Start a member that was added to the cluster that `by` is of."""
        members = list(by.replica.membership.members.values())
        member = self._create(name, Join(by.storage.cluster_id, members))
        member.boot()
        return member

    def new_member(self) -> Member:
        name = next(each for each in "FGHIJKLMNOPQRSTUVWXYZ" if each not in self.members)
        placeholder = SimMember(self, name)
        return Member(placeholder.id, name, tuple(url(name)), (), is_learner=True)

    # Who is there

    @property
    def idle_s(self) -> float:
        """Since a client's transaction was last answered."""
        return self.world.now - self.served_at

    @property
    def alive(self) -> list[SimMember]:
        return [each for each in self.members.values() if each.alive]

    @property
    def down(self) -> list[SimMember]:
        return [each for each in self.members.values() if not each.alive and each.name not in self.removed]

    @property
    def leader(self) -> SimMember | None:
        leading = [each for each in self.alive if each.leads]
        return max(leading, key=lambda each: each.replica.core.term, default=None)

    # What happens to them

    def crash(self, member: SimMember, machine_too: bool) -> None:
        member.die(machine_too)

    def crash_trapped(self, member: SimMember) -> None:
        """It dies in the moment after it sent something, and is back soon."""
        member.die(self.world.rng.random() < 0.7)
        self.world.after(
            self.world.rng.choice([0.01, 0.1, 1.0]) * self.world.rng.random(), self.restart, member
        )

    def restart(self, member: SimMember) -> None:
        if not member.alive and member.name not in self.removed:
            member.boot()

    def retire(self, name: str) -> None:
        """It was removed from the cluster: it is switched off for good."""
        self.removed.append(name)
        if self.members[name].alive:
            self.members[name].die(False)

    def died(self, member: SimMember, machine_too: bool) -> None:
        self.network.died(member.name, machine_too)
        self.world.after(SUPERVISED_S, self.restart, member)

    def members_changed(self, member: SimMember) -> None:
        self.network.members_changed(member.name)


def _weather(world: World) -> Weather:
    rng = world.rng
    return Weather(
        delay_s=rng.choice([(0.0002, 0.002), (0.0002, 0.004), (0.001, 0.03)]),
        loss=rng.choice([0.0, 0.0, 0.01, 0.08]),
        duplication=rng.choice([0.0, 0.0, 0.05]),
        reordering=rng.choice([0.0, 0.0, 0.05]),
        encoded=rng.random() < 0.2,
    )
