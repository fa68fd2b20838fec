"""Defects put back on purpose, one at a time: the simulation is worth what it finds.

B1–B7 are those of stock pysyncobj (see `tests/store/raft/test_stock_defects`), each in the form in which it
would have come back through our corrections; the others are what people get wrong in Raft, in its storage
and around it. A mutation patches attributes of the product's classes for the length of `applied`; nothing in
the product knows of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import tests.sim.store.disk as sim_disk
import tests.sim.store.member as sim_member
from store.api import commands as c
from store.api.leases import LeaseKeeper
from store.lease.table import LeaseTable
from store.raft import adapter, applier, safety
from store.raft.adapter import Core
from store.raft.applier import Applier
from store.raft.election import Candidacy
from store.raft.install import Installer
from store.raft.log import RaftLog
from store.raft.membership import Change
from store.raft.proposals import Proposals
from store.raft.read_index import Reads, Rounds
from store.raft.record import Kind, Record, pack_batch, pack_header
from store.raft.replica import Replica
from store.raft.requests import Requests
from store.raft.snapshot import SnapshotStore
from store.raft.wal import Wal
from store.watch.hub import WatchHub

TABLE: dict[str, list[tuple[Any, str, Callable[[Any], Any]]]] = {}
"""Name → where, attribute, and what makes the defective one of the right one; several, where defences overlap."""


@contextmanager
def applied(name: str) -> Iterator[None]:
    if not name:
        yield
        return
    with ExitStack() as stack:
        for where, attribute, make in TABLE[name]:
            stack.enter_context(patch.object(where, attribute, make(where.__dict__[attribute])))
        yield


def mutation(name: str, where: Any, attribute: str) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    def register(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
        TABLE.setdefault(name, []).append((where, attribute, make))
        return make

    return register


# The stock package's


@mutation("B1-snapshot-piece-commits", Installer, "on_chunk")
def _b1(right: Any) -> Any:
    def on_chunk(self: Installer, peer: int, message: Any) -> None:
        core = self._core
        if message["term"] >= core.term:
            core._raft._SyncObj__raftCommitIndex = max(
                core.commit, min(message["index"], core.log.last_index)
            )
            core.log.commit = core.commit
        right(self, peer, message)

    return on_chunk


@mutation("B2-append-drops-all-behind", adapter, "trim_append")
def _b2(right: Any) -> Any:
    def trim_append(message: Any, log: RaftLog) -> Any:
        if message["prevLogIdx"] < log.base_index:
            return right(message, log)
        return safety.Append(message, None)

    return trim_append


@mutation("B3-acknowledgement-without-term", Core, "_receive_acknowledgement")
def _b3(right: Any) -> Any:
    def receive(self: Core, peer: int, message: Any) -> None:
        index = min(message["next_node_idx"], self.log.last_index + 1)
        right(self, peer, {**message, "term": self.term, "next_node_idx": index})

    return receive


@mutation("B4-snapshot-clears-the-log-at-start", sim_member, "open_storage")
def _b4(right: Any) -> Any:
    def open_storage(config: Any, disk: Any) -> Any:
        storage = right(config, disk)
        if storage.snapshot_index > storage.log.base_index:
            log, index = storage.log, storage.snapshot_index
            log.commit = index
            log.reset(index, log.term_at(index))
            log.sync()
        return storage

    return open_storage


@mutation("B5-snapshots-share-a-file-aside", sim_disk.SimDisk, "create")
def _b5(right: Any) -> Any:
    def create(self: Any, path: Any, reserve_bytes: int = 0) -> Any:
        before = self._names.get(str(path))
        file = right(self, path, reserve_bytes)
        if str(path).endswith(".tmp") and before is not None and "/snap/" in str(path):
            file._content.data += before.data
        return file

    return create


@mutation("B5-snapshots-share-a-file-aside", SnapshotStore, "__init__")
def _b5_kept(right: Any) -> Any:
    def init(self: Any, disk: Any, directory: Any) -> None:
        with patch.object(disk, "remove", lambda path: None):
            right(self, disk, directory)

    return init


@mutation("B5-remains-of-snapshots-stay", SnapshotStore, "__init__")
def _b5b(right: Any) -> Any:
    """The unfinished file of an earlier process is taken for a finished one."""

    def init(self: Any, disk: Any, directory: Any) -> None:
        for name in disk.list(directory):
            if name.endswith(".tmp"):
                disk.rename(directory / name, (directory / name).with_suffix(".snap"))
        right(self, disk, directory)

    return init


@mutation("B6-compaction-in-place", RaftLog, "compact")
def _b6(right: Any) -> Any:
    def compact(self: RaftLog, index: int) -> Any:
        """Clears the last segment's file and writes the entries again; the next sync makes them durable."""
        forgotten = right(self, index)
        wal, disk = self.wal, self.wal._disk
        segment = wal._segments[-1]
        disk.truncate(segment.path, 0)
        first = self.entries[0]
        opening = wal._opening_records()
        opening[-1] = Record(Kind.START, _pair(first[1], first[2]))
        entries = [Record(Kind.ENTRY, _pair(i, t) + data) for data, i, t in self.entries[1:]]
        written = [
            each for each in wal._pending if each.kind is not Kind.ENTRY and each.kind is not Kind.TRUNCATE
        ]
        wal._pending = []
        records = [*opening, *entries, *written]
        wal._file.write(pack_header(segment.number) + pack_batch(wal._batch, records))
        wal._batch += 1
        return forgotten

    return compact


def _pair(index: int, term: int) -> bytes:
    return index.to_bytes(8, "little") + term.to_bytes(8, "little")


@mutation("B7-callback-error-applies-again", Applier, "_apply_entry")
def _b7(right: Any) -> Any:
    def apply_entry(self: Applier, index: int, data: bytes) -> None:
        """Every so often a client's callback raises, and the entry is applied again on that member."""
        right(self, index, data)
        if data[0] == applier.Kind.COMMANDS:
            groups = applier.unpack_commands(data)
            if any(each.session == self._proposals.session and each.numbers[0] % 16 == 0 for each in groups):
                machine: Any = self._machine
                commands = [each for group in groups for each in group.commands]
                type(machine).apply(machine, index, commands)

    return apply_entry


# Raft: elections


@mutation("vote-forgotten-at-restart", Wal, "set_hard_state")
def _forgotten_vote(right: Any) -> Any:
    return lambda self, term, vote: right(self, term, None)


@mutation("term-not-written", Wal, "set_hard_state")
def _term_not_written(right: Any) -> Any:
    return lambda self, term, vote: None


@mutation("vote-whatever-the-log", Core, "receive")
def _vote_for_all(right: Any) -> Any:
    def receive(self: Core, peer: int, message: Any) -> None:
        if message["type"] == "request_vote":
            message = {
                **message,
                "last_log_term": self.log.entries[-1][2],
                "last_log_index": self.log.last_index,
            }
        right(self, peer, message)

    return receive


@mutation("vote-whatever-the-log", Candidacy, "_log_end")
def _pre_vote_for_all(right: Any) -> Any:
    return lambda self: (0, 0)


@mutation("pre-vote-ignored", Candidacy, "_ask")
def _no_pre_vote(right: Any) -> Any:
    return lambda self, now: self._core.campaign()


@mutation("votes-counted-twice", Core, "receive")
def _votes_twice(right: Any) -> Any:
    def receive(self: Core, peer: int, message: Any) -> None:
        if message["type"] == "response_vote":
            self._votes.discard(peer)
        right(self, peer, message)

    return receive


# Raft: replication and commit


def _commit_by(core: Core, quorum: Callable[[int], int], own_term_only: bool) -> None:
    voters = core._raft._SyncObj__otherNodes
    for index in range(core.commit + 1, core.log.last_index + 1):
        count = 1 + sum(core._raft._SyncObj__raftMatchIndex[node] >= index for node in voters)
        if count >= quorum(len(voters) + 1) and (not own_term_only or core.log.term_at(index) == core.term):
            core._raft._SyncObj__raftCommitIndex = index
            core.log.set_commit(index)


@mutation("wrong-quorum", Core, "tick")
def _wrong_quorum(right: Any) -> Any:
    def tick(self: Core, may_campaign: bool) -> None:
        right(self, may_campaign)
        if self.is_leader:
            _commit_by(self, lambda voters: voters // 2, own_term_only=True)

    return tick


@mutation("commit-of-an-earlier-term", Core, "tick")
def _earlier_term(right: Any) -> Any:
    def tick(self: Core, may_campaign: bool) -> None:
        right(self, may_campaign)
        if self.is_leader:
            _commit_by(self, lambda voters: voters // 2 + 1, own_term_only=False)

    return tick


@mutation("stale-acknowledgement-confirms-reads", Replica, "_on_acknowledgement")
def _stale_read_ack(right: Any) -> Any:
    def on_acknowledgement(self: Replica, peer: int, message: Any) -> None:
        right(self, peer, message)
        if self.core.is_leader:
            self.requests.rounds.acknowledge(peer, self.requests.rounds.number)

    return on_acknowledgement


@mutation("snapshot-over-a-newer-log", Installer, "_known")
def _snapshot_unchecked(right: Any) -> Any:
    return lambda self, index, index_term: False


@mutation("overlapping-member-changes", Requests, "_objection")
def _overlapping(right: Any) -> Any:
    def objection(self: Requests, change: Change, membership: Any, connected: set[int]) -> Any:
        self._change_index = 0
        return right(self, change, membership, connected)

    return objection


@mutation("learner-counts-for-commit", Core, "set_members")
def _learner_counts(right: Any) -> Any:
    def set_members(self: Core, other_voters: Any, learners: Any) -> None:
        right(self, other_voters, learners)
        if self._raft._SyncObj__readonlyNodes:
            nodes = sorted(self._raft._SyncObj__otherNodes, key=lambda node: node.id)
            self._raft._SyncObj__otherNodes = {*nodes[1:], *self._raft._SyncObj__readonlyNodes}

    return set_members


# Storage


@mutation("fsync-dropped", sim_disk.SimFile, "sync")
def _no_fsync(right: Any) -> Any:
    return lambda self: None if len(self._content.data) > 200 else right(self)


@mutation("acknowledged-before-the-sync", Replica, "step")
def _ack_before_sync(right: Any) -> Any:
    def step(self: Replica) -> None:
        right(self)
        self.outbox.flush()

    return step


@mutation("torn-tail-not-cut", sim_disk.SimDisk, "truncate")
def _not_cut(right: Any) -> Any:
    return lambda self, path, size_bytes: None


@mutation("directory-not-synced", sim_disk.SimDisk, "sync_dir")
def _no_sync_dir(right: Any) -> Any:
    return lambda self, path: right(self, path) if "/wal" in str(path) and not self._synced_names else None


# Requests


@mutation("read-without-a-quorum", Rounds, "settle")
def _read_alone(right: Any) -> Any:
    return lambda self, other_voters, quorum: right(self, other_voters, 1)


@mutation("read-before-it-is-applied", Reads, "confirm")
def _read_unapplied(right: Any) -> Any:
    return lambda self, number, index: right(self, number, 0)


@mutation("read-before-the-term-began", Requests, "read")
def _read_before_noop(right: Any) -> Any:
    def read(self: Requests, now: float, leader_connected: bool) -> bool:
        if self._core.is_leader and self._core.commit < self._core.noop_index:
            number = self.reads.ask(now)
            if number is not None:
                self._confirm_with_round(number)
            begun = self.rounds.begin(self._core.commit)
            self.rounds.settle(self._electorate.others, self._electorate.quorum)
            return begun
        return bool(right(self, now, leader_connected))

    return read


@mutation("duplicate-proposal-applied-twice", Requests, "_taken")
def _duplicate(right: Any) -> Any:
    return lambda self, peer, message: 0


@mutation("proposed-again-in-a-later-term", Proposals, "send_again")
def _again(right: Any) -> Any:
    def send_again(self: Proposals, term: int) -> None:
        for proposal in self._sent():
            proposal.sent_term = None
        self._queued.extendleft(
            reversed([each for each in self._waiting.values() if each not in self._queued])
        )

    return send_again


@mutation("answered-before-the-commit", Requests, "_append_groups")
def _answer_early(right: Any) -> Any:
    """The leader applies and answers what it appended, as soon as it is appended."""

    def append_groups(self: Requests, groups: Any) -> None:
        right(self, groups)
        core = self._core
        if groups:
            core._raft._SyncObj__raftCommitIndex = core.log.last_index
            core.log.set_commit(core.log.last_index)

    return append_groups


# Leases and watches


@mutation("lease-expired-by-a-follower", LeaseKeeper, "due")
def _follower_expires(right: Any) -> Any:
    """Any member's clock ends a lease, whatever it missed."""

    def due(self: LeaseKeeper, table: LeaseTable) -> Any:
        expired = [table.find(id) for id in self._clock.expired(self._now())]
        return [c.LeaseRevoke(lease.id) for lease in expired if lease is not None]

    return due


@mutation("lease-expiry-ignores-renewals", LeaseTable, "is_due")
def _ignores_renewals(right: Any) -> Any:
    return lambda self, id, renewals: id in self._leases


@mutation("watch-resumed-off-by-one", WatchHub, "create")
def _off_by_one(right: Any) -> Any:
    def create(
        self: WatchHub, stream: Any, spec: Any, start_revision: int, *rest: Any, **options: Any
    ) -> Any:
        return right(
            self, stream, spec, start_revision + 1 if start_revision > 1 else start_revision, *rest, **options
        )

    return create


@mutation("watch-forgotten-by-a-snapshot", WatchHub, "reset")
def _watch_lost(right: Any) -> Any:
    def reset(self: WatchHub, store: Any) -> None:
        self._store = store

    return reset
