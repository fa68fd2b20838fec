"""One member: the replica, its state machine, its leases' clock and its disk, driven by virtual time.

The duties are those of `RaftNode`, in its order: a turn when something arrived or is due, a sync that takes
as long as the disk takes and during which inputs only gather, then what the sync allowed. Snapshots are
written a piece at a time between turns. What a door of the store does for its clients (`store/api/service`)
is `write` and `read`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from store.api import commands as c
from store.api.leases import LeaseKeeper
from store.api.machine import StoreMachine
from store.mvcc.errors import RequestError
from store.raft import DiskFailed, Join, RaftConfig, member_id
from store.raft.codec import Message
from store.raft.interface import RaftError
from store.raft.membership import Change
from store.raft.replica import Replica
from store.raft.snapshot import SnapshotMeta, SnapshotWriter
from store.raft.storage import open_storage
from tests.sim.store.disk import PowerLoss, SimDisk
from tests.sim.store.invariants import Violation

if TYPE_CHECKING:
    from tests.sim.store.cluster import Cluster

TOKEN = "simulated"
REQUEST_TIMEOUT_S = 3.0
LEASE_LOOK_S = 0.5
RELEASE_CHANGES = 40

Answer = Callable[[Any, Exception | None], None]


def url(name: str) -> list[str]:
    return [f"https://{name}:2380"]


class SimMember:
    def __init__(self, cluster: Cluster, name: str, join: Join | None = None) -> None:
        rng = cluster.world.rng
        self.cluster = cluster
        self.world = cluster.world
        self.name = name
        self.id = member_id(url(name), TOKEN)
        self.disk = SimDisk(rng)
        self.join = join
        self.alive = False
        self.paused = False
        self.removed = False
        self.sync_s = (0.0003, 0.003)
        self.clock_offset_s = rng.uniform(0, 1e5)
        self.clock_rate = 1.0 + rng.uniform(-1, 1) * cluster.clock_drift
        self.boots = 0
        self.crash_after: str | None = None  # the kind of message whose sending is the last thing it does

    def clock(self) -> float:
        return self.clock_offset_s + self.world.now * self.clock_rate

    def knows(self, peer: int) -> bool:
        return peer in self.replica.membership.members

    @property
    def leads(self) -> bool:
        return self.alive and self.replica.core.is_leader

    # Life

    def boot(self) -> None:
        """Start on what the disk holds. An error to read it fails the simulation: no fault here corrupts a file."""
        self.boots += 1
        self.world.trace(self.name, f"boots ({self.boots})")
        self.keeper = LeaseKeeper(self.clock)
        self.machine = StoreMachine(self.keeper)
        self.config = RaftConfig(
            name=self.name,
            data_dir=Path("/") / self.name,
            initial_members={each: url(each) for each in self.cluster.initial_names(self.name)},
            cluster_token=TOKEN,
            join=self.join,
            heartbeat_interval_s=0.1,
            election_timeout_s=self.cluster.election_timeout_s,
            snapshot_count=self.cluster.snapshot_count,
            catch_up_entries=self.cluster.catch_up_entries,
            limits=self.cluster.limits,
        )
        self.storage = open_storage(self.config, self.disk)
        if self.storage.snapshot is not None:
            self.machine.restore(self.storage.snapshots.chunks(self.storage.snapshot))
        self.replica = Replica(
            self.config,
            self.storage,
            self.machine,
            self._send,
            self.clock,
            random.Random(self.world.rng.getrandbits(64)),
            self._wake,
        )
        self.replica.leadership.callbacks.append(
            lambda on: self.keeper.on_leadership(self.machine.leases, on)
        )
        self.alive, self.paused = True, False
        self._syncing = self._turn_due = False
        self._timer = 0
        self._lease_at = self.clock() + LEASE_LOOK_S
        self._loading: Iterator[None] | None = None
        self._writing: tuple[SnapshotMeta, SnapshotWriter, Iterator[bytes]] | None = None
        self._cleaning: Iterator[None] | None = None
        self.cluster.invariants.booted(self)
        self.replica.on_members = lambda _: self.cluster.members_changed(self)
        self.cluster.members_changed(self)
        self._wake()

    def die(self, machine_too: bool) -> None:
        """kill -9, or the power fails, perhaps in the middle of what it was writing."""
        if not self.alive:
            return
        self.world.trace(self.name, "loses power" if machine_too else "is killed")
        if self._syncing:
            self.disk.power_fails_in = self.world.rng.randint(1, 3)
            try:
                self.replica.sync()
            except PowerLoss:
                pass
            except DiskFailed:
                assert self.disk.failing
        self._stop(machine_too)

    def _stop(self, machine_too: bool) -> None:
        self.alive = False
        self.crash_after = None
        if machine_too:
            self.disk.power_lost()
        else:
            self.disk.process_killed()
        self.cluster.died(self, machine_too)

    def pause(self) -> None:
        self.world.trace(self.name, "is paused")
        self.paused = True

    def resume(self) -> None:
        self.world.trace(self.name, "goes on")
        self.paused = False
        if self.alive and not self._syncing:
            self._turn_due = False
            self._wake()

    # Turns

    def _wake(self) -> None:
        if not self._turn_due and not self._syncing:
            self._turn_due = True
            self.world.after(self.world.rng.uniform(0.00005, 0.0005), self._turn, self.boots)

    def _turn(self, boot: int) -> None:
        if boot != self.boots or not self.alive or self.paused or self._syncing:
            self._turn_due = False
            return
        self._turn_due = False
        self._guard(self._step)

    def _step(self) -> None:
        replica = self.replica
        replica.step()
        if replica.must_sync:
            if replica.sent_early:
                self.cluster.invariants.turned(self)
                replica.apply_ahead()
            self._syncing = True
            took_s = self.world.rng.uniform(*self.sync_s)
            self.world.after(took_s, self._synced, self.boots, took_s)
            interval_s = self.config.heartbeat_interval_s
            for number in range(1, 1 + int(min(took_s, self.config.election_timeout_s / 2) / interval_s)):
                self.world.after(number * interval_s, self._heartbeat, self.boots)
        else:
            self._complete()

    def _heartbeat(self, boot: int) -> None:
        """While a sync runs, as `RaftNode` does."""
        if boot == self.boots and self.alive and self._syncing and not self.paused:
            self.replica.heartbeat()

    def _synced(self, boot: int, took_s: float) -> None:
        if boot != self.boots or not self.alive:
            return
        if self.paused:
            self.world.after(0.05, self._synced, boot, took_s)
            return
        self._syncing = False

        def finish() -> None:
            self.replica.sync()
            if took_s * self.clock_rate > self.config.election_timeout_s:
                self.replica.step_down()
            self._complete()

        self._guard(finish)

    def _complete(self) -> None:
        replica = self.replica
        self.cluster.invariants.turned(self)  # before a change of members is applied
        replica.complete()
        self._between_turns()
        self.machine.store.release_some(RELEASE_CHANGES)
        if replica.has_more:
            self._wake()
            return
        self._timer += 1
        wait_s = max(0.0, (replica.wake_at - self.clock()) / self.clock_rate) + 0.0005
        self.world.after(wait_s, self._timer_fired, self.boots, self._timer)

    def _timer_fired(self, boot: int, timer: int) -> None:
        if timer == self._timer and boot == self.boots and self.alive:
            self._wake()

    def _between_turns(self) -> None:
        if self.clock() >= self._lease_at:
            self._lease_at = self.clock() + LEASE_LOOK_S
            for command in self.keeper.due(self.machine.leases):
                self._propose(command, lambda result, error: None)
        replica = self.replica
        if self._writing is not None or self._cleaning is not None:
            return  # one job at a time, as `Background` has it
        if replica.installer.received is not None:
            self._load_piece()
        elif replica.snapshot_due:
            meta = replica.snapshot_meta()
            view = self.machine.snapshot()
            self._writing = meta, self.storage.snapshots.write(meta), iter(view.chunks())
            self.world.after(0.002, self._go_on, self.boots)

    def _load_piece(self) -> None:
        """What the leader sent is loaded a piece at a time, while turns go on."""
        installer = self.replica.installer
        if self._loading is None:
            assert installer.received is not None
            installer.received[0].finish()
            self._loading = installer.load()
        try:
            next(self._loading)
        except StopIteration:
            self._loading = None
            self.replica.install_received()
            self.cluster.invariants.installed(self)
            self._clean_up()
        self._wake()

    def _clean_up(self) -> None:
        compaction = self.replica.compaction
        self._cleaning = chain(compaction.forgetting(), compaction.removing())
        self.world.after(0.002, self._go_on, self.boots)

    def _go_on(self, boot: int) -> None:
        """With a snapshot that is being written or the remains of the one before, between two turns."""
        if boot != self.boots or not self.alive:
            return
        if self._syncing or self.paused:
            self.world.after(0.002, self._go_on, boot)
        elif self._writing is not None:
            self._guard(self._write_piece)
        elif self._cleaning is not None:
            self._guard(self._clean_piece)

    def _write_piece(self) -> None:
        assert self._writing is not None
        meta, writer, chunks = self._writing
        chunk = next(chunks, None)
        if chunk is not None:
            writer.write(chunk)
            self.world.after(0.002, self._go_on, self.boots)
            return
        self._writing = None
        writer.finish()
        self.replica.snapshot_taken(meta)
        self._clean_up()

    def _clean_piece(self) -> None:
        assert self._cleaning is not None
        try:
            next(self._cleaning)
        except StopIteration:
            self._cleaning = None
        else:
            self.world.after(0.002, self._go_on, self.boots)

    def _guard(self, work: Callable[[], None]) -> None:
        """A disk that fails ends the member; so does an error of any other kind, which is a defect."""
        try:
            work()
        except PowerLoss:
            self.world.trace(self.name, "loses power in the middle of an operation")
            self._stop(True)
            return
        except Violation:
            raise
        except Exception as error:
            if self.disk.failing:
                self.world.trace(self.name, f"stops: {error}")
                self._stop(False)
                return
            if self.cluster.raising:
                raise
            self.cluster.invariants.fail(f"{self.name}: {type(error).__name__}: {error}")
            return
        if self.crash_after == "now":
            self.world.trace(self.name, "dies of what it just sent")
            self.crash_after = None
            self.cluster.crash_trapped(self)

    def _send(self, peer: int, message: Message) -> bool:
        target = self.cluster.name_of.get(peer)
        if target is None:
            return False
        kind = message["type"]
        if kind in ("response_vote", "next_node_idx"):
            self.cluster.invariants.promised(self, target, message)
        if kind == self.crash_after:
            self.crash_after = "now"
        return self.cluster.network.send(self.name, target, message)

    # What a door does

    def write(self, command: c.Command, answer: Answer) -> None:
        def done(result: Any, error: RaftError | None) -> None:
            if error is None and isinstance(result, RequestError):
                answer(None, result)
            else:
                answer(result, error)

        self._propose(command, done)

    def read(self, request: Any, answer: Answer) -> None:
        boot, invariants = self.boots, self.cluster.invariants
        floor = invariants.highest_commit

        def done(index: int, error: RaftError | None) -> None:
            if boot != self.boots:
                return
            if error is None:
                invariants.read_served(self, floor)
            if error is not None:
                answer(None, error)
                return
            store = self.machine.store
            try:
                answer(store.txn(request) if hasattr(request, "compare") else store.range(request), None)
            except RequestError as refused:
                answer(None, refused)

        self.replica.requests.reads.submit(self.clock() + REQUEST_TIMEOUT_S, done)
        self._wake()

    def change(self, change: Change, answer: Answer) -> None:
        deadline = self.clock() + REQUEST_TIMEOUT_S
        try:
            self.replica.requests.proposals.submit(b"", deadline, answer, change)
        except RaftError as error:
            answer(None, error)
        self._wake()

    def _propose(self, command: c.Command, done: Callable[[Any, RaftError | None], None]) -> None:
        deadline = self.clock() + REQUEST_TIMEOUT_S
        try:
            self.replica.requests.proposals.submit(c.encode(command), deadline, done)
        except RaftError as error:
            done(None, error)
        self._wake()
