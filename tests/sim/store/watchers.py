"""Watchers: they follow a range over crashes of the members they watch through, as `store/client/watch` does.

What they were given is held against every change that was ever applied: all of it, once, in order. Only a
watch that was told that its history is compacted may skip, and then begins anew from there.
"""

from __future__ import annotations

from store.mvcc.messages import Record
from store.mvcc.query import in_range
from store.watch.stream import Spec, WatchResponse, WatchStream
from tests.sim.store.cluster import Cluster
from tests.sim.store.member import SimMember

PROGRESS_ASKED = 0.1


class Watcher:
    def __init__(self, cluster: Cluster, name: str, spec: Spec) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self.name = name
        self.spec = spec
        self.received = 0
        self.resumed = 0
        self.stopped = False
        self._next = 1  # the first revision not delivered
        self._place = 0  # in the list of all changes: everything before was delivered, or is not wanted
        self._stream: WatchStream | None = None
        self._member: SimMember | None = None
        self._boot = 0
        self._session = 0
        self.world.after(0.2, self._open, 0)

    @property
    def up_to_date(self) -> bool:
        events = self.cluster.invariants.events
        return not any(self._wants(each) for each in events[self._place :])

    def _open(self, session: int) -> None:
        if session != self._session or self.stopped:
            return
        self._session += 1
        members = [each for each in self.cluster.alive if not each.paused]
        if not members:
            self.world.after(0.1, self._open, self._session)
            return
        member = self._member = self.world.rng.choice(members)
        self._boot = member.boots
        current = self._session
        self.resumed += 1
        self._stream = member.machine.hub.open_stream(lambda: self._ready(current))
        self._replies: list[WatchResponse] = []
        member.machine.hub.create(self._stream, self.spec, self._next, progress_notify=True)
        self.world.after(
            self.world.rng.choice([0.5, 2.0, 8.0]) * (0.2 + self.world.rng.random()), self._leave, current
        )
        self.world.after(0.1, self._look, current)

    def _leave(self, session: int) -> None:
        """Connections end, and members are left for others."""
        if session == self._session:
            self._close()

    def _look(self, session: int) -> None:
        """A dead member's connection closes; a silent one's is given up."""
        if session != self._session or self._member is None:
            return
        if not self._connected(session):
            self._close()
            return
        self.world.after(0.1, self._look, session)

    def _connected(self, session: int) -> bool:
        member = self._member
        return session == self._session and member is not None and member.alive and member.boots == self._boot

    def _close(self) -> None:
        member = self._member
        if member is not None and member.boots == self._boot and member.alive and self._stream is not None:
            member.machine.hub.close_stream(self._stream)
        self._stream = self._member = None
        self.world.after(self.world.rng.uniform(0.001, 0.1), self._open, self._session)

    def _ready(self, session: int) -> None:
        slow_s = self.world.rng.choice([0.001, 0.001, 0.001, 0.3])
        self.world.after(slow_s, self._take, session)

    def _take(self, session: int) -> None:
        if not self._connected(session) or self._stream is None or self._member is None:
            return
        responses = self._stream.take()
        hub = self._member.machine.hub
        hub.sync(self._stream)
        if self.world.rng.random() < PROGRESS_ASKED:
            hub.request_progress(self._stream)
        self.world.after(0.001, self._receive, session, responses)

    def _receive(self, session: int, responses: list[WatchResponse]) -> None:
        if not self._connected(session):
            return  # lost with the connection: the next one begins where the last delivery ended
        for response in responses:
            if response.canceled:
                self._compacted(response)
                return
            if response.batch is not None:
                for event in response.batch.events:
                    self._deliver(event.record)
            elif not response.created and response.revision >= self._next:
                self._progress(response.revision)

    def _deliver(self, record: Record) -> None:
        expected = self._expected()
        if expected is None or (expected.mod_revision, expected.key) != (record.mod_revision, record.key):
            wanted = None if expected is None else (expected.mod_revision, expected.key)
            self.cluster.invariants.fail(
                f"watch: {self.name} was given {(record.mod_revision, record.key)} instead of {wanted}"
            )
        if expected != record:
            self.cluster.invariants.fail(f"watch: {self.name} was given {record}, it was {expected}")
        self._place += 1
        self.received += 1
        self._next = record.mod_revision + 1

    def _expected(self) -> Record | None:
        events = self.cluster.invariants.events
        while self._place < len(events) and not self._wants(events[self._place]):
            self._place += 1
        return events[self._place] if self._place < len(events) else None

    def _wants(self, record: Record) -> bool:
        return in_range(record.key, self.spec.key, self.spec.range_end)

    def _progress(self, revision: int) -> None:
        """Everything up to `revision` was delivered, says the store."""
        expected = self._expected()
        if expected is not None and expected.mod_revision <= revision:
            self.cluster.invariants.fail(
                f"watch: {self.name} is told to be at {revision}, but never got {expected.mod_revision}"
            )
        self._next = max(self._next, revision + 1)

    def _compacted(self, response: WatchResponse) -> None:
        if response.compact_revision <= self._next:
            self.cluster.invariants.fail(
                f"watch: {self.name} wants {self._next} and is told that {response.compact_revision} is compacted"
            )
        self._next = response.compact_revision
        events = self.cluster.invariants.events
        while self._place < len(events) and events[self._place].mod_revision < self._next:
            self._place += 1
        self._close()
