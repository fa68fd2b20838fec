"""One member as a deterministic machine: inputs in, duties out, in the order of etcd's raft.

    step         take inputs (connections, messages, proposals, time) and let the core act
    apply_ahead  if there is something to sync: apply what earlier turns made durable, answer
    sync         make new log entries and hard state durable: one fdatasync for all of it
    release      send what promised them
    finish       apply what is committed, answer

`Turns` drives it from asyncio; a simulation drives it from a seed. It reads no clock but the injected one, draws
no number but from the injected source, and touches no file but through the injected disk. Between `step` and
`finish` nothing else may happen to it, but for `heartbeat`: then the leader, which counts itself for every entry,
counts only what is synced.

A leader's appends leave before its own sync (they promise nothing of its own), so that the disks of all members
work at the same time; everything else waits for it.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable

from store.component import logs
from store.raft.adapter import Clock, Core
from store.raft.applier import Applier
from store.raft.codec import Message
from store.raft.compaction import Compaction
from store.raft.config import RaftConfig
from store.raft.election import Candidacy, Electorate
from store.raft.install import Installer
from store.raft.interface import RaftError, RaftStatus, Role, StateMachine
from store.raft.leadership import Leadership
from store.raft.membership import Change, Membership
from store.raft.outbox import Outbox
from store.raft.prevote import Elections
from store.raft.proposals import Proposals
from store.raft.read_index import RETRY_HEARTBEATS, Reads
from store.raft.replication import Replication
from store.raft.requests import Requests
from store.raft.snapshot import SnapshotMeta
from store.raft.storage import Storage

SWEEP_S = 0.05
"""How often deadlines are looked at."""
STALL_HEARTBEATS = 2
"""A turn that comes so many heartbeats late tells that this process did not run, not that the others did not."""
SESSION_BITS = 63

_log = logs.get("store.raft")

Input = tuple[int, Message | bool]
"""A member's message; or that its connection is there (True) or gone (False)."""


class Replica:
    def __init__(
        self,
        config: RaftConfig,
        storage: Storage,
        machine: StateMachine,
        send: Callable[[int, Message], bool],
        clock: Clock,
        rng: random.Random,
        wake: Callable[[], None],
    ) -> None:
        self.membership = storage.membership
        self.on_members: Callable[[Membership], None] = lambda _: None
        self.removed = False
        self.sent_early = False  # in this turn's step, ahead of its sync
        self._config = config
        self._storage = storage
        self._machine = machine
        self.outbox = Outbox(send)
        self._clock = clock
        self._wake = wake
        self._log = storage.log
        self._inbox: deque[Input] = deque()
        self._connected: set[int] = set()
        self._elections = Elections(storage.member_id, config.election_timeout_s, rng)
        self.core = Core(
            storage.member_id,
            storage.log,
            storage.applied,
            self.outbox.send,
            lambda: self._elections.draw_timeout(clock()),
            clock,
            config.heartbeat_interval_s,
            config.election_timeout_s,
        )
        self._electorate = Electorate(storage.member_id, frozenset())
        self._candidacy = Candidacy(
            self.core, self._elections, self._electorate, config.election_timeout_s, clock, self.outbox.send
        )
        self.requests = Requests(
            self.core,
            self._electorate,
            Proposals(rng.getrandbits(SESSION_BITS), config.limits),
            Reads(RETRY_HEARTBEATS * config.heartbeat_interval_s, rng.getrandbits(SESSION_BITS)),
            config.limits,
            self.outbox.send,
        )
        self.compaction = Compaction(config, storage)
        self._replication = Replication(
            self.core,
            self.compaction,
            config.limits,
            self.outbox.send,
            self.requests.awaited,
        )
        self.leadership = Leadership(self.core, self.requests, self._replication)
        self._applier = Applier(self.core, machine, self.requests.proposals, self._change_members, clock)
        self.installer = Installer(self.core, machine, storage.snapshots, self.outbox.send)
        self._turn_at = clock()
        self._sweep_at = 0.0
        self._adopt(self.membership)
        self._candidacy.begin(self._turn_at)
        self._handlers: dict[str, Callable[[int, Message], None]] = {
            "append_entries": self._on_append,
            "next_node_idx": self._on_acknowledgement,
            "request_vote": self._candidacy.on_request_vote,
            "response_vote": self.core.receive,
            "timeout_now": self.core.receive,
            "stale": self.core.receive,
            "pre_vote": self._candidacy.on_pre_vote,
            "pre_vote_reply": self._candidacy.on_pre_vote_reply,
            "propose": self.requests.on_propose,
            "propose_change": self.requests.on_propose_change,
            "read_request": self.requests.on_read_request,
            "read_reply": self.requests.on_read_reply,
            "snapshot_chunk": self._on_snapshot_chunk,
            "snapshot_reply": self._on_snapshot_reply,
        }

    # Inputs: they wait for the next turn

    def on_connected(self, peer: int) -> None:
        self._inbox.append((peer, True))
        self._wake()

    def on_disconnected(self, peer: int) -> None:
        self._inbox.append((peer, False))
        self._wake()

    def on_message(self, peer: int, message: Message) -> None:
        self._inbox.append((peer, message))
        if message["type"] != "next_node_idx" or not self._changes_nothing(message):
            self._wake()

    def _changes_nothing(self, message: Message) -> bool:
        """The later ones of a quorum's acknowledgements are worth no turn of their own; the next one takes them."""
        end = message["next_node_idx"] - 1
        return (
            message["success"]
            and message["term"] == self.core.term
            and self.core.is_leader
            and end <= self.core.commit
            and end == self._log.last_index
            and self.requests.rounds.idle
            and not self.leadership.transferring
        )

    def transfer(self, to: int, deadline: float) -> None:
        """Begin to hand leadership over; nothing new enters the log until that ends, one way or the other."""
        self.leadership.transfer(to, deadline)
        self._wake()

    def is_connected(self, peer: int) -> bool:
        return peer in self._connected

    # A turn

    def step(self) -> None:
        now = self._clock()
        self._forgive_stall(now)
        self._take_inputs()
        self._candidacy.act(now)
        self.leadership.note()
        self.leadership.continue_transfer(now, self._connected)
        leader_connected = self.core.leader in self._connected
        self.requests.propose(leader_connected, self.membership, self._connected)
        begun = self.requests.read(now, leader_connected)
        self.sent_early = False
        if self.core.is_leader:
            self._replicate(begun)
            if not self._log.promised:
                self.sent_early = self.outbox.flush_early()

    def heartbeat(self) -> None:
        """May be called while a sync runs, and nothing else: the followers hear their leader, and get what they
        lack. It promises nothing of this member's own that is not synced."""
        if self.core.is_leader and not self._log.promised:
            self._replicate(round_begun=True)
            self.outbox.flush_early()

    @property
    def must_sync(self) -> bool:
        return self._log.wal.dirty

    def sync(self) -> None:
        """May run in a thread, as long as nothing else happens to this replica. Raises DiskFailed."""
        self._log.sync()

    def apply_ahead(self) -> bool:
        """May be called before the sync: what is committed and was made durable by earlier turns need not wait for
        it. Says whether there was any."""
        before = self.core.applied
        self._apply(self._log.synced_index)
        return self.core.applied > before

    def complete(self) -> None:
        self.release()
        self.finish()

    def release(self) -> bool:
        """Send what waited for the sync; says whether there was any."""
        return self.outbox.flush()

    @property
    def can_apply(self) -> bool:
        return self.core.applied < self.core.commit

    def finish(self) -> None:
        now = self._clock()
        self._apply(self.core.commit)
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP_S
            self.requests.proposals.expire(now)
            self.requests.reads.expire(now)
            self._replication.check_snapshots(now)
        self.leadership.announce_when_ready()

    @property
    def has_more(self) -> bool:
        """Whether another turn should follow at once."""
        core = self.core
        alone = core.is_leader and self._electorate.quorum == 1 and core.commit < self._log.last_index
        return bool(self._inbox) or core.applied < core.commit or alone

    @property
    def wake_at(self) -> float:
        """When time itself is the next input."""
        if self.core.is_leader:
            at = min(self.core.heartbeat_at, self._replication.commit_due_at)
        else:
            at = self._candidacy.wake_at
        return min(at, self._clock() + self._config.heartbeat_interval_s)

    def step_down(self) -> None:
        """The disk was slower than the election timeout: the others have, or should have, another leader."""
        if self.core.is_leader:
            self.core.step_down(self.core.term)

    def status(self) -> RaftStatus:
        core = self.core
        me = self.membership.members.get(self._electorate.member_id)
        learner = me is not None and me.is_learner
        return RaftStatus(
            cluster_id=self._storage.cluster_id,
            member_id=self._electorate.member_id,
            name=self._config.name,
            role=Role.LEARNER if learner else core.role,
            term=core.term,
            leader_id=core.leader,
            last_index=self._log.last_index,
            commit_index=core.commit,
            applied_index=core.applied,
            snapshot_index=self.compaction.snapshot_index,
            wal_size_bytes=self._log.wal.size_bytes,
            members=self.membership.sorted(),
        )

    # Snapshots: call these between turns

    @property
    def snapshot_due(self) -> bool:
        return self.compaction.due(self.core.applied)

    def snapshot_meta(self) -> SnapshotMeta:
        """Of a snapshot of the state machine as it is now."""
        return self.compaction.begin(self.core.applied, self.membership)

    def snapshot_taken(self, meta: SnapshotMeta) -> None:
        self.compaction.taken(meta)

    def install_received(self) -> None:
        """The file that was received is synced, and loaded."""
        meta = self.installer.install()
        if meta is not None:
            self._adopt(meta.membership)
            self.requests.proposals.snapshot_installed()
            self.compaction.installed(meta)
        self._wake()

    # Inside a turn

    def _forgive_stall(self, now: float) -> None:
        late = now - self._turn_at - self._config.heartbeat_interval_s
        if late > STALL_HEARTBEATS * self._config.heartbeat_interval_s:
            _log.warning("did not run for a while", seconds=round(late, 3))
            self.core.forgive_stall(late)
        self._turn_at = now

    def _take_inputs(self) -> None:
        for _ in range(min(len(self._inbox), self._config.limits.inbox_messages)):
            peer, what = self._inbox.popleft()
            if peer not in self.core.peers:
                continue
            if what is True:
                self._connected.add(peer)
                self.core.connected(peer)
                self._candidacy.peer_connected(self._clock(), peer, self._connected)
                if self.core.is_leader:
                    self.core.broadcast_due = True
            elif what is False:
                self._connected.discard(peer)
                self.core.disconnected(peer)
                self._replication.reset(peer)
                self._candidacy.peer_disconnected(self._clock(), peer)
                self.leadership.disconnected(peer)
            else:
                assert isinstance(what, dict)
                self._handlers[what["type"]](peer, what)

    def _on_append(self, peer: int, message: Message) -> None:
        self._candidacy.on_append(message)
        self.core.receive(peer, message)
        if self.installer.received is not None:
            self.installer.still_loading(peer, message["term"])

    def _on_acknowledgement(self, peer: int, message: Message) -> None:
        self.core.receive(peer, message)
        if self.core.is_leader and message["term"] == self.core.term:
            self.requests.rounds.acknowledge(peer, message["round"])
            self._replication.acknowledged(peer, message)
            self._replication.snapshot_done(peer)

    def _on_snapshot_chunk(self, peer: int, message: Message) -> None:
        self.installer.on_chunk(peer, message)
        if self.installer.received is not None:
            self._wake()

    def _on_snapshot_reply(self, peer: int, message: Message) -> None:
        if self.core.is_leader and message["term"] == self.core.term:
            self._replication.snapshot_reply(peer, message, self._clock())

    def _apply(self, last: int) -> None:
        self._applier.apply(last, self._clock() + self._config.limits.apply_s)
        self.requests.reads.applied(self.core.applied)

    def _replicate(self, round_begun: bool) -> None:
        everyone = self.core.broadcast_due or round_begun
        self._replication.broadcast(
            self._connected, self.requests.rounds.number, everyone, self._log.synced_index, self._clock()
        )
        if everyone:
            self.core.heartbeat_sent()

    def _change_members(self, change: Change) -> None:
        """Raises MembershipError, on every member alike."""
        self._adopt(self.membership.apply(change))
        _log.info("members changed", operation=change.operation.value, member=f"{change.member.id:x}")

    def _adopt(self, membership: Membership) -> None:
        self.membership = membership
        me = self._electorate.member_id
        self._electorate.voters = membership.voters
        self.core.set_members(membership.voters - {me}, membership.learners - {me})
        for peer in [each for each in self._connected if each not in membership.members]:
            self._connected.discard(peer)
            self._replication.reset(peer)
        if me not in membership.members and not self.removed:
            self.removed = True
            self.step_down()
        self.on_members(membership)

    def abandon(self, unsent: RaftError, sent: RaftError) -> None:
        """The member stops: answer everyone who waits."""
        self.requests.proposals.abandon(unsent, sent)
        self.requests.reads.abandon(unsent)
        self.installer.abandon()
        self._replication.reset()
        self.leadership.announce(False)

    def close(self) -> None:
        self._log.wal.close()
