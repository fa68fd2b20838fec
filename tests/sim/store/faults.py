"""What goes wrong: a fault now and then, of kinds that the seed prefers, healed after a while.

Each seed draws its own weights, so that some seeds are all partitions, others all crashes (swarm testing). A
`calm` seed isolates followers one at a time and nothing else: there the leader must not change, which is
what pre-vote and check-quorum are for.
"""

from __future__ import annotations

from collections.abc import Callable

from store.raft.membership import Change, Member, Operation
from tests.sim.store.cluster import Cluster
from tests.sim.store.member import SimMember

MAX_EXTRA_MEMBERS = 4
PATIENCE_S = 3.0
TRAPS = ("response_vote", "next_node_idx", "request_vote", "append_entries", "snapshot_chunk", "read_reply")


class Faults:
    def __init__(self, cluster: Cluster, pace_s: float, calm: bool) -> None:
        rng = cluster.world.rng
        self.cluster = cluster
        self.world = cluster.world
        self.count = 0
        self.kinds: dict[str, int] = {}
        self.stopped = False
        self._pace_s = pace_s
        self._all: list[Callable[[], None]] = [
            self.kill,
            self.power_loss,
            self.trap,
            self.disk_operation,
            self.pause,
            self.isolate,
            self.split,
            self.one_way,
            self.lag,
            self.reset,
            self.slow_disk,
            self.failing_disk,
            self.everybody,
            self.transfer,
            self.storm,
            self.overtaken,
        ]
        self._weights = [rng.choice([0, 1, 1, 4]) for _ in self._all]
        if not any(self._weights):
            self._weights = [1] * len(self._all)
        if calm:
            self._all, self._weights = [self.isolate_follower], [1]
        elif rng.random() < 0.4:
            self._all.append(self.membership)
            self._weights.append(3)
        self.calm = calm
        self.world.after(0.8 + rng.random(), self._strike)

    def _strike(self) -> None:
        if self.stopped:
            return
        if self.cluster.idle_s > PATIENCE_S:  # so much is broken that nobody is served: let it heal
            self._later(0.5, 2.0, self._strike)
            return
        fault = self.world.rng.choices(self._all, self._weights)[0]
        name = fault.__name__
        before = self.count
        fault()
        if self.count > before:
            self.kinds[name] = self.kinds.get(name, 0) + 1
            self.world.trace("—", f"fault {self.count}: {name}")
        self.world.after(self._pace_s * (0.1 + 1.8 * self.world.rng.random()), self._strike)

    def _victim(self, alive: bool = True) -> SimMember | None:
        """The leader as often as not."""
        cluster, rng = self.cluster, self.world.rng
        among = [each for each in cluster.alive if not each.paused] if alive else cluster.down
        if not among:
            return None
        leader = cluster.leader
        if leader in among and rng.random() < 0.5:
            return leader
        return rng.choice(among)

    def _later(
        self, shortest_s: float, longest_s: float, call: Callable[..., None], *arguments: object
    ) -> None:
        self.world.after(self.world.rng.uniform(shortest_s, longest_s), call, *arguments)

    # Members

    def kill(self) -> None:
        member = self._victim()
        if member is not None:
            self.count += 1
            self.cluster.crash(member, False)
            self._later(0.01, 2.0, self.cluster.restart, member)

    def power_loss(self) -> None:
        member = self._victim()
        if member is not None:
            self.count += 1
            self.cluster.crash(member, True)
            self._later(0.05, 4.0, self.cluster.restart, member)

    def trap(self) -> None:
        """Somebody dies just after sending a message of some kind."""
        kind = self.world.rng.choice(TRAPS)
        for member in self.cluster.alive:
            if self.world.rng.random() < 0.6:
                member.crash_after = kind
        if kind.endswith("vote") and self.cluster.leader is not None:
            self.cluster.crash(self.cluster.leader, True)
            self._later(0.01, 3.0, self._restart_all)
        self.count += 1

    def disk_operation(self) -> None:
        """Power fails at one of the next operations on the disk: in the middle of a snapshot, a new segment, …"""
        member = self._victim()
        if member is not None:
            self.count += 1
            member.disk.power_fails_in = self.world.rng.randint(1, 40)
            self._later(0.5, 3.0, self.cluster.restart, member)
            self._later(3.0, 4.0, self.cluster.restart, member)

    def everybody(self) -> None:
        """The whole cluster loses power, or is killed."""
        machine_too = self.world.rng.random() < 0.5
        for member in self.cluster.alive:
            self.cluster.crash(member, machine_too)
            self._later(0.01, 1.0, self.cluster.restart, member)
        self.count += 1

    def _restart_all(self) -> None:
        for member in self.cluster.down:
            self.cluster.restart(member)

    def pause(self) -> None:
        member = self._victim()
        if member is not None:
            self.count += 1
            member.pause()
            self._later(0.2, 4.0, self._resume, member)

    def _resume(self, member: SimMember) -> None:
        if member.paused:
            member.resume()

    # Network

    def isolate(self) -> None:
        member = self._victim()
        if member is not None:
            self.count += 1
            self._cut({member.name})

    def isolate_follower(self) -> None:
        followers = [each for each in self.cluster.alive if not each.leads]
        if self.cluster.leader is None or not followers or self.cluster.network.cut:
            return
        self.count += 1
        name = self.world.rng.choice(followers).name
        others = [each for each in self.cluster.members if each != name]
        links = [pair for other in others for pair in ((name, other), (other, name))]
        self.cluster.network.cut.update(links)
        self.world.after(self._pace_s * 0.05 + 2.5 * self.world.rng.random(), self._mend, links)

    def split(self) -> None:
        self.count += 1
        names = sorted(self.cluster.members)
        self._cut(set(self.world.rng.sample(names, len(names) // 2)))

    def _cut(self, side: set[str]) -> None:
        names = sorted(self.cluster.members)
        links = [(a, b) for a in names for b in names if (a in side) != (b in side)]
        self.cluster.network.cut.update(links)
        how = self.world.rng.random()
        for one, other in links:  # nobody notices; both sides do; or the larger one alone
            if how > 0.75 or (how > 0.4 and (one in side) == (len(side) > len(names) // 2)):
                self.cluster.network.hang_up(one, other)
        self._later(0.3, 5.0, self._mend, links)

    def one_way(self) -> None:
        """Some links in one direction only: who cannot hear can still speak."""
        names, rng = sorted(self.cluster.members), self.world.rng
        member = self._victim()
        if member is not None and rng.random() < 0.5:
            outward = rng.random() < 0.5
            pairs = [(member.name, each) for each in names if each != member.name]
            links = pairs if outward else [(b, a) for a, b in pairs]
        else:
            links = [(a, b) for a in names for b in names if a != b and rng.random() < 0.3]
        self.count += 1
        self.cluster.network.cut.update(links)
        self._later(0.3, 4.0, self._mend, links)

    def _mend(self, links: list[tuple[str, str]]) -> None:
        self.cluster.network.cut.difference_update(links)

    def lag(self) -> None:
        """What some members send is late by up to seconds, and arrives all the same."""
        names, rng = sorted(self.cluster.members), self.world.rng
        self.count += 1
        late_s = rng.choice([0.2, 1.0, 4.0])
        links = [(a, b) for a in names for b in names if a != b and rng.random() < 0.4]
        for link in links:
            self.cluster.network.lag_s[link] = late_s
        self._later(0.5, 4.0, self._catch_up, links)

    def _catch_up(self, links: list[tuple[str, str]]) -> None:
        for link in links:
            self.cluster.network.lag_s.pop(link, None)

    def overtaken(self) -> None:
        """A leader and one follower are cut off; what the follower acknowledged arrives only after the
        leader was deposed, overwritten and elected again, with no more than one other in reach."""
        leader, rng, network = self.cluster.leader, self.world.rng, self.cluster.network
        if leader is None:
            return
        others = [each.name for each in self.cluster.alive if each is not leader]
        if len(others) < 4:
            return
        self.count += 1
        one = leader.name
        two, *rest = rng.sample(others, len(others))
        cut = [(a, b) for a in (one, two) for b in rest]
        network.cut.update([*cut, *((b, a) for a, b in cut)])
        network.hold(two, one)
        for other in rest:
            network.hang_up(other, one)
        alone = [(a, b) for a in (one, *rest) for b in (two,)]
        back = [(a, b) for each in rest for a, b in ((one, each), (each, one))]

        def deposed() -> None:
            network.cut.update([*alone, *((b, a) for a, b in alone)])
            self._mend(back)
            hand_back(20)

        def hand_back(patience: int) -> None:
            now = self.cluster.leader
            if now is leader:
                few = [(a, b) for each in rest[1:] for a, b in ((one, each), (each, one))]
                network.cut.update(few)
                self._later(0.1, 0.5, network.let_go, two, one)
                self._later(0.6, 1.5, self._mend, [*few, *cut, *alone, *((b, a) for a, b in (*cut, *alone))])
                return
            if patience == 0:
                network.let_go(two, one)
                self._mend([*cut, *alone, *((b, a) for a, b in (*cut, *alone))])
                return
            if now is not None and leader.alive and not now.replica.leadership.transferring:
                now.replica.transfer(leader.id, now.clock() + 1.0)
            self.world.after(0.1, hand_back, patience - 1)

        self._later(0.6, 2.0, deposed)

    def reset(self) -> None:
        names = sorted(self.cluster.members)
        one, other = self.world.rng.sample(names, 2)
        self.count += 1
        self.cluster.network.reset(one, other)

    def storm(self) -> None:
        """For a while everything is lost, doubled and overtaken more than usual."""
        weather = self.cluster.network.weather
        before = weather.loss, weather.duplication, weather.reordering
        weather.loss, weather.duplication, weather.reordering = 0.2, 0.2, 0.3
        self.count += 1

        def calm() -> None:
            weather.loss, weather.duplication, weather.reordering = before

        self._later(0.3, 2.0, calm)

    # Disks

    def slow_disk(self) -> None:
        member = self._victim()
        if member is not None:
            self.count += 1
            member.sync_s = self.world.rng.choice([(0.02, 0.08), (0.1, 0.4), (0.5, 2.5)])
            self._later(0.5, 4.0, self._fast_again, member)

    def _fast_again(self, member: SimMember) -> None:
        member.sync_s = (0.0003, 0.003)

    def failing_disk(self) -> None:
        member = self._victim()
        if member is not None:
            self.count += 1
            member.disk.failing = True
            self._later(1.0, 4.0, self._replace_disk, member)

    def _replace_disk(self, member: SimMember) -> None:
        member.disk.failing = False
        self.cluster.restart(member)

    # The cluster itself

    def transfer(self) -> None:
        leader = self.cluster.leader
        if leader is None:
            return
        others = sorted(leader.replica.membership.voters - {leader.id})
        if others:
            self.count += 1
            timeout_s = leader.config.election_timeout_s
            leader.replica.transfer(self.world.rng.choice(others), leader.clock() + timeout_s)

    def membership(self) -> None:
        """Add a learner, promote one, or remove a member; several at once as well."""
        rng, through = self.world.rng, self._victim()
        if through is None:
            return
        self.count += 1
        for _ in range(rng.choice([1, 1, 2])):
            self._change(through)

    def _change(self, through: SimMember) -> None:
        rng, cluster = self.world.rng, self.cluster
        membership = through.replica.membership
        voters = sorted(membership.voters)
        learners = sorted(membership.learners)
        joined = [each for each in learners if cluster.name_of.get(each) in cluster.members]
        kind = rng.random()
        if joined and kind < 0.5:
            change = Change(Operation.PROMOTE, membership.members[rng.choice(joined)])
        elif len(voters) > 2 and kind < 0.7:
            change = Change(Operation.REMOVE, membership.members[rng.choice(voters)])
        elif len(cluster.members) < 5 + MAX_EXTRA_MEMBERS and not learners:
            member = cluster.new_member()
            change = Change(Operation.ADD, member)
        else:
            return

        def answered(result: object, error: Exception | None) -> None:
            self.world.trace(
                through.name, f"{change.operation.value} {change.member.name}: {error or 'done'}"
            )
            if error is not None:
                return
            if change.operation is Operation.ADD and change.member.name not in cluster.members:
                if through.alive and change.member.id in through.replica.membership.members:
                    cluster.join(change.member.name, through)
            elif change.operation is Operation.REMOVE:
                self._later(0.1, 2.0, self._retire, change.member)

        through.change(change, answered)

    def _retire(self, member: Member) -> None:
        """Switch it off, once somebody who stays knows that it was removed: of two, the other could not go on
        without its vote before."""
        others = [each for each in self.cluster.alive if each.name != member.name]
        if any(member.id not in each.replica.membership.members for each in others):
            self.cluster.retire(member.name)
        else:
            self._later(0.1, 0.5, self._retire, member)
