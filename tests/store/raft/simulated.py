"""Members without sockets, files or clocks: every message is delivered, held or dropped by the test."""

from __future__ import annotations

import random
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from store.raft import Limits, RaftConfig, member_id
from store.raft.codec import LENGTH as FRAME_LENGTH
from store.raft.codec import Message, decode, encode
from store.raft.interface import RaftError
from store.raft.membership import Change
from store.raft.replica import Replica
from store.raft.storage import open_storage
from tests.store.raft.memory_disk import MemoryDisk
from tests.store.raft.toy import Toy

TICK_S = 0.02
TOKEN = "simulated"


def url(name: str) -> list[str]:
    return [f"https://{name}:2380"]


def ident(name: str) -> int:
    return member_id(url(name), TOKEN)


class Outcome:
    """What a proposal or a read came to."""

    def __init__(self) -> None:
        self.done = False
        self.result: Any = None
        self.error: RaftError | None = None

    def __call__(self, result: Any, error: RaftError | None) -> None:
        assert not self.done, "answered twice"
        self.done, self.result, self.error = True, result, error

    @property
    def succeeded(self) -> bool:
        return self.done and self.error is None


class SimulatedMember:
    def __init__(self, cluster: SimulatedCluster, name: str, disk: MemoryDisk, **settings: Any) -> None:
        self.name = name
        self.id = ident(name)
        self.disk = disk
        self.machine = Toy()
        config = RaftConfig(
            name=name,
            data_dir=Path("/") / name,
            initial_members={each: url(each) for each in cluster.names},
            cluster_token=TOKEN,
            heartbeat_interval_s=0.1,
            election_timeout_s=1.0,
        )
        self.config = replace(config, **{**cluster.settings, **settings})
        self.storage = open_storage(self.config, disk)
        if self.storage.snapshot is not None:
            self.machine.restore(self.storage.snapshots.chunks(self.storage.snapshot))
        self.replica = Replica(
            self.config,
            self.storage,
            self.machine,
            lambda peer, message: cluster.send(self.name, cluster.name_of[peer], message),
            lambda: cluster.now,
            random.Random(cluster.rng.getrandbits(64)),
            lambda: None,
        )

    @property
    def core(self) -> Any:
        return self.replica.core

    def turn(self) -> None:
        replica = self.replica
        replica.step()
        if replica.must_sync:
            if replica.sent_early:
                replica.apply_ahead()
            replica.sync()
        replica.complete()
        if replica.installer.received is not None:
            replica.installer.received[0].finish()
            deque(replica.installer.load(), maxlen=0)
            replica.install_received()
            self._clean_up()
        if replica.snapshot_due:
            self.take_snapshot()

    def take_snapshot(self) -> None:
        self.write_snapshot()
        self._clean_up()

    def write_snapshot(self) -> None:
        meta = self.replica.snapshot_meta()
        writer = self.storage.snapshots.write(meta)
        for chunk in self.machine.snapshot().chunks():
            writer.write(chunk)
        writer.finish()
        self.replica.snapshot_taken(meta)

    def _clean_up(self) -> None:
        deque(self.replica.compaction.forgetting(), maxlen=0)
        deque(self.replica.compaction.removing(), maxlen=0)

    def propose(self, command: bytes, timeout_s: float = 60.0) -> Outcome:
        outcome = Outcome()
        self.replica.requests.proposals.submit(command, self.replica._clock() + timeout_s, outcome)
        return outcome

    def change(self, change: Change) -> Outcome:
        outcome = Outcome()
        self.replica.requests.proposals.submit(b"", self.replica._clock() + 60, outcome, change)
        return outcome

    def read(self) -> Outcome:
        outcome = Outcome()
        self.replica.requests.reads.submit(self.replica._clock() + 60, outcome)
        return outcome

    @property
    def log(self) -> list[tuple[bytes, int, int]]:
        return self.replica.core.log.entries


class SimulatedCluster:
    """`with_members("ABC")`; each name is a member. Links are directed pairs of names."""

    def __init__(self, names: str, seed: int = 1, **settings: Any) -> None:
        self.names = list(names)
        self.settings: dict[str, Any] = settings
        self.rng = random.Random(seed)
        self.now = 1000.0
        self.members: dict[str, SimulatedMember] = {}
        self.queues: dict[tuple[str, str], deque[bytes]] = defaultdict(deque)
        self.held: set[tuple[str, str]] = set()
        self.cut: set[tuple[str, str]] = set()
        self.duplicate = False
        self.name_of = {ident(name): name for name in names}
        for name in names:
            self.boot(name)

    def boot(self, name: str, disk: MemoryDisk | None = None, **settings: Any) -> SimulatedMember:
        self.name_of[ident(name)] = name
        member = SimulatedMember(self, name, disk or MemoryDisk(), **settings)
        self.members[name] = member
        for link in [each for each in self.queues if name in each]:
            self.queues[link].clear()  # old connections
        for other in self.members.values():
            if other is not member:
                other.replica.on_connected(member.id)
                member.replica.on_connected(other.id)
        return member

    def kill(self, name: str, torn_bytes: int | None = 0) -> MemoryDisk:
        """Power off: what was not synced is gone; the others see the connections close. What it had sent may still
        arrive, until it is booted again."""
        member = self.members.pop(name)
        for link in [each for each in self.queues if name == each[1]]:
            self.queues[link].clear()
        for other in self.members.values():
            other.replica.on_disconnected(member.id)
        member.disk.crash(torn_bytes)
        return member.disk

    def send(self, source: str, target: str, message: Message) -> bool:
        if (source, target) not in self.cut:
            self.queues[source, target].append(encode(message)[FRAME_LENGTH.size :])
        return True

    def isolate(self, *names: str) -> None:
        """Cut all links between these and the others, and among them none."""
        outside = [each for each in self.members if each not in names]
        self.cut |= {pair for a in names for b in outside for pair in ((a, b), (b, a))}

    def heal(self) -> None:
        self.cut.clear()
        self.held.clear()

    def deliver(self, only: Iterable[tuple[str, str]] | None = None, count: int | None = None) -> int:
        delivered = 0
        for link in list(self.queues) if only is None else list(only):
            queue = self.queues[link]
            while queue and link not in self.held and (count is None or delivered < count):
                body = queue.popleft()
                delivered += 1
                source, target = link
                if target in self.members:
                    for _ in range(2 if self.duplicate else 1):
                        self.members[target].replica.on_message(ident(source), decode(body))
        return delivered

    def run(
        self, seconds: float, names: Sequence[str] | None = None, until: Callable[[], Any] | None = None
    ) -> None:
        """Let time pass: all members (or those named) take turns, all messages arrive."""
        end = self.now + seconds
        while self.now < end:
            if until is not None and until():
                return
            self.now += TICK_S
            for name in list(names or self.members):
                self.members[name].turn()
                self.deliver()
        if until is not None:
            raise AssertionError(f"not within {seconds} virtual seconds")

    def settle(self) -> None:
        """Run until nothing is on the way and nothing waits, without elections."""
        self.run(1.0)

    @property
    def leader(self) -> SimulatedMember | None:
        leading = [each for each in self.members.values() if each.core.is_leader]
        return max(leading, key=lambda each: each.core.term, default=None)

    def elect(self, name: str) -> SimulatedMember:
        """Make this member the leader, by election in the ordinary way."""
        member = self.members[name]
        for _ in range(50):
            for other in self.members.values():
                if other is not member:
                    other.core._raft._SyncObj__raftElectionDeadline = self.now + 50
                    other.core.last_heard_at = -1e9
                    other.replica._elections.ask_at = None
                    if other.core.is_leader:
                        other.core.step_down(other.core.term)
                        other.core._raft._SyncObj__raftElectionDeadline = self.now + 50
            member.core._raft._SyncObj__raftElectionDeadline = self.now - 1
            self.run(0.2)
            if member.core.is_leader and self.leader is member:
                return member
        raise AssertionError(f"{name} was not elected")


def small() -> Limits:
    return Limits(append_bytes=4096, batch_bytes=4096, snapshot_chunk_bytes=512, segment_bytes=8192)
