"""pysyncobj behind names of our own. The only file that touches its private attributes, hence the exact pin.

What is used of it: roles and terms, voting, the follower's append, the leader's match and next indexes, the
commit rule (§5.4.2), check-quorum and TimeoutNow. What is replaced through its extension points: the journal
(by `RaftLog`), the transport (messages go to `send` below), applying, compaction, sending of entries, the command
queue, timeouts, the clock. pysyncobj is stepped, never run: no thread, no socket, no file, no pickle of its own is
reached.

Two attributes of its module are looked up at call time and therefore set for the length of a call: `createJournal`
while it is constructed and `monotonicTime` (the injected clock) whenever it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pysyncobj.syncobj as stock
from pysyncobj.config import SyncObjConf
from pysyncobj.node import Node
from pysyncobj.version import VERSION

from store.raft.codec import Message
from store.raft.interface import Role
from store.raft.log import RaftLog
from store.raft.safety import retry_from, trim_append
from store.raft.stock import Journal, NoPoller, Transport

PINNED_VERSION = "0.3.17"
if VERSION != PINNED_VERSION:
    raise ImportError(
        f"pysyncobj {VERSION} is installed; its private names are known for {PINNED_VERSION} only"
    )

_ROLES = {0: Role.FOLLOWER, 1: Role.CANDIDATE, 2: Role.LEADER}
_FOLLOWER = 0
_LEADER = 2
_NEVER_S = 1e9

Send = Callable[[int, Message], None]
Clock = Callable[[], float]


class _Consensus(stock.SyncObj):  # type: ignore[misc]  # the package has no types
    """SyncObj with the duties that are ours taken out."""

    def __init__(self, core: Core, *arguments: Any, **keywords: Any) -> None:
        self._core = core
        super().__init__(*arguments, **keywords)
        self._poller = NoPoller()

    def _SyncObj__generateRaftTimeout(self) -> float:
        return self._core.draw_timeout()

    def _SyncObj__sendAppendEntries(self) -> None:
        """Also called for a heartbeat that is due, and by a new leader."""
        self._core.broadcast_due = True

    def _SyncObj__applyLogEntries(self) -> bool:
        return False  # entries are applied after the sync (B7: never inside a step)

    def _SyncObj__tryLogCompaction(self) -> None:
        pass

    def _checkCommandsToApply(self) -> None:
        pass

    def _applyCommand(self, *_: Any) -> None:
        raise AssertionError("nothing is proposed through pysyncobj's own queue")


class Core:
    """One member's Raft state machine. Not durable by itself: the caller syncs the log before it sends."""

    def __init__(
        self,
        member_id: int,
        log: RaftLog,
        applied: int,
        send: Send,
        draw_timeout: Callable[[], float],
        clock: Clock,
        heartbeat_s: float,
        election_timeout_s: float,
    ) -> None:
        self.log = log
        self.draw_timeout = draw_timeout
        self.broadcast_due = False
        self.last_heard_at = -_NEVER_S
        self._send = send
        self._clock = clock
        self._heartbeat_s = heartbeat_s
        self._timeout_s = election_timeout_s
        self._nodes: dict[int, Node] = {}
        self._round = 0
        self._acknowledge: int | None = None
        self._votes: set[int] = set()
        self._transfer = False
        self._transport = Transport(self._outgoing)
        self._raft = self._build(member_id)
        self._raft._SyncObj__raftLastApplied = applied

    def _build(self, member_id: int) -> Any:
        conf = SyncObjConf(
            autoTick=False,
            appendEntriesUseBatch=True,
            appendEntriesPeriod=self._heartbeat_s,
            raftMinTimeout=self._timeout_s,
            raftMaxTimeout=2 * self._timeout_s,
            leaderFallbackTimeout=self._timeout_s,
            connectionTimeout=4 * self._timeout_s,
            dynamicMembershipChange=False,
            onStateChanged=self._on_state_changed,
        )
        create_journal = stock.createJournal
        stock.createJournal = lambda _: Journal(self.log)
        try:
            return self._run(
                _Consensus, self, Node(member_id), [], conf, nodeClass=Node, transport=self._transport
            )
        finally:
            stock.createJournal = create_journal

    def _run(self, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        clock = stock.monotonicTime
        stock.monotonicTime = self._clock
        try:
            return function(*arguments, **keywords)
        finally:
            stock.monotonicTime = clock

    # What it knows

    @property
    def role(self) -> Role:
        return _ROLES[self._raft._SyncObj__raftState]

    @property
    def is_leader(self) -> bool:
        return bool(self._raft._SyncObj__raftState == _LEADER)

    @property
    def leader(self) -> int:
        """0 when none is known."""
        node = self._raft._SyncObj__raftLeader
        return 0 if node is None else node.id

    @property
    def term(self) -> int:
        return int(self._raft._SyncObj__raftCurrentTerm)

    @property
    def commit(self) -> int:
        return int(self._raft._SyncObj__raftCommitIndex)

    @property
    def applied(self) -> int:
        return int(self._raft._SyncObj__raftLastApplied)

    @applied.setter
    def applied(self, index: int) -> None:
        assert self.applied <= index <= self.commit, f"applied {index}, after {self.applied} of {self.commit}"
        self._raft._SyncObj__raftLastApplied = index

    @property
    def noop_index(self) -> int:
        """The entry with which this leader began its term; until it is committed the commit index may be behind."""
        return self._raft._SyncObj__noopIDx or 0

    @property
    def peers(self) -> Mapping[int, Node]:
        """Every other member, learners included."""
        return self._nodes

    @property
    def election_at(self) -> float:
        return float(self._raft._SyncObj__raftElectionDeadline)

    @property
    def asked_to_lead(self) -> bool:
        """The leader hands over (TimeoutNow): stand for election at once, without asking."""
        return bool(self._raft._SyncObj__transferInProgress) and not self.is_leader

    def match(self, peer: int) -> int:
        return int(self._raft._SyncObj__raftMatchIndex.get(self._nodes[peer], 0))

    def next(self, peer: int) -> int:
        return int(self._raft._SyncObj__raftNextIndex[self._nodes[peer]])

    def set_next(self, peer: int, index: int) -> None:
        self._raft._SyncObj__raftNextIndex[self._nodes[peer]] = index

    def heard_from(self, peer: int) -> float:
        """When a follower last answered this leader."""
        return float(self._raft._SyncObj__lastResponseTime.get(self._nodes[peer], -_NEVER_S))

    # What it is told

    def set_members(self, other_voters: Iterable[int], learners: Iterable[int]) -> None:
        raft, now = self._raft, self._clock()
        before = self._nodes
        voters = {each: before.get(each) or Node(each) for each in other_voters}
        others = {each: before.get(each) or Node(each) for each in learners}
        self._nodes = {**voters, **others}
        for identifier, node in before.items():
            if identifier not in self._nodes:
                raft._SyncObj__connectedNodes.discard(node)
                for table in (raft._SyncObj__raftNextIndex, raft._SyncObj__raftMatchIndex):
                    table.pop(node, None)
        raft._SyncObj__otherNodes = set(voters.values())
        raft._SyncObj__readonlyNodes = set(others.values())
        for node in self._nodes.values():
            raft._SyncObj__raftNextIndex.setdefault(node, self.log.last_index + 1)
            raft._SyncObj__raftMatchIndex.setdefault(node, 0)
            raft._SyncObj__lastResponseTime.setdefault(node, now)

    def connected(self, peer: int) -> None:
        self._raft._SyncObj__connectedNodes.add(self._nodes[peer])

    def disconnected(self, peer: int) -> None:
        """What was on the way is lost: go on from what is acknowledged."""
        node = self._nodes[peer]
        self._raft._SyncObj__connectedNodes.discard(node)
        if self.is_leader and self.match(peer):
            self.set_next(peer, self.match(peer) + 1)

    def receive(self, peer: int, message: Message) -> None:
        """A message of the paper's four kinds, from a member."""
        kind, term = message["type"], message["term"]
        if kind == "next_node_idx":
            self._receive_acknowledgement(peer, message)
        elif kind == "append_entries":
            self._receive_append(peer, message)
        elif kind == "response_vote":
            if term == self.term and peer not in self._votes:
                self._votes.add(peer)
                self._deliver(peer, message)
        elif kind == "stale":
            if term > self.term:
                self.step_down(term)
        else:
            assert kind in ("request_vote", "timeout_now"), kind
            self._deliver(peer, message)

    def _receive_append(self, peer: int, message: Message) -> None:
        if message["term"] < self.term:  # a deposed leader hears about it
            self._send(peer, {"type": "stale", "term": self.term})
            return
        assert not (self.is_leader and message["term"] == self.term), f"two leaders in term {self.term}"
        self.last_heard_at = self._clock()
        message, self._acknowledge = trim_append(message, self.log)
        self._round = message["round"]
        self._deliver(peer, message)
        self._acknowledge = None

    def _receive_acknowledgement(self, peer: int, message: Message) -> None:
        if message["term"] > self.term:
            self.step_down(message["term"])
        if message["term"] != self.term or not self.is_leader:
            return
        assert message["next_node_idx"] <= self.log.last_index + 1 or not message["success"]
        pipelined = self.next(peer)
        self._deliver(peer, message)
        if message["reset"]:
            self.set_next(peer, max(self.match(peer) + 1, message["next_node_idx"]))
        else:  # the stock handler goes back to what is acknowledged, and would send the rest again
            self.set_next(peer, max(self.match(peer) + 1, pipelined))

    def _deliver(self, peer: int, message: Message) -> None:
        self._run(self._transport._onMessageReceived, self._nodes[peer], message)

    def _outgoing(self, node: Node, message: Message) -> None:
        """What pysyncobj says, completed with what it leaves out."""
        kind = message["type"]
        if kind == "next_node_idx":
            index = message["next_node_idx"]
            if message["success"]:
                index = index if self._acknowledge is None else self._acknowledge
            else:
                index = retry_from(index, self.log)
            message = {**message, "next_node_idx": index, "term": self.term, "round": self._round}
        elif kind == "request_vote":
            message = {**message, "transfer": self._transfer}
        else:
            assert kind in ("response_vote", "timeout_now"), kind
        self._send(node.id, message)

    def tick(self, may_campaign: bool) -> None:
        """Let time act: election, commit rule, check-quorum, heartbeat. An election only if allowed."""
        raft = self._raft
        if not may_campaign and not self.is_leader and self.election_at < self._clock():
            self.postpone_election()
        self._run(raft.doTick, 0.0)
        self._transfer = False

    def campaign(self) -> None:
        """Stand for election now."""
        raft = self._raft
        self._transfer = self.asked_to_lead
        self._votes = set()
        raft._SyncObj__raftElectionDeadline = -_NEVER_S
        self.tick(may_campaign=True)

    def postpone_election(self) -> None:
        self._raft._SyncObj__raftElectionDeadline = self._clock() + self.draw_timeout()

    def forgive_stall(self, stalled_s: float) -> None:
        """This process did not run for a while: what it did not hear meanwhile proves nothing."""
        raft = self._raft
        raft._SyncObj__raftElectionDeadline += stalled_s
        for node in raft._SyncObj__lastResponseTime:
            raft._SyncObj__lastResponseTime[node] += stalled_s

    def append(self, data: bytes) -> int:
        """The leader's next entry; returns its index."""
        assert self.is_leader
        index = self.log.last_index + 1
        self.log.append((data, index, self.term))
        return index

    def heartbeat_sent(self) -> None:
        self.broadcast_due = False
        self._raft._SyncObj__newAppendEntriesTime = self._clock() + self._heartbeat_s

    @property
    def heartbeat_at(self) -> float:
        return float(self._raft._SyncObj__newAppendEntriesTime)

    def hand_over(self, peer: int) -> None:
        """Ask a follower to stand for election at once."""
        self._outgoing(self._nodes[peer], {"type": "timeout_now", "term": self.term})

    def step_down(self, term: int) -> None:
        """Follow in `term`, which is not below the current one; no leader is known."""
        raft = self._raft
        if term > self.term:
            raft._SyncObj__setCurrentTerm(term, None)
        raft._SyncObj__setState(_FOLLOWER)
        raft._SyncObj__raftLeader = None

    def forget_leader(self) -> None:
        self._raft._SyncObj__raftLeader = None

    def installed(self, index: int, term: int) -> None:
        """The state machine is that of a snapshot now; the log begins behind it."""
        self.log.reset(index, term)
        self._raft._SyncObj__raftCommitIndex = index
        self._raft._SyncObj__raftLastApplied = index

    def acknowledge(self, peer: int, index: int) -> None:
        """Tell the leader that everything up to `index` is here (a snapshot, or what it would have brought)."""
        self._round = 0
        self._outgoing(
            self._nodes[peer],
            {"type": "next_node_idx", "next_node_idx": index + 1, "reset": False, "success": True},
        )

    def _on_state_changed(self, old: int, new: int) -> None:
        if old == _LEADER:  # its election deadline dates from before it led
            self.postpone_election()
