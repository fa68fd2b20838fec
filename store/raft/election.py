"""Elections of one member: its own candidacy, and its answers to that of others.

    follower ──timeout, or the leader's connection closed──▶ asking (pre-vote) ──quorum agrees──▶ candidate
        ▲                                                        │ refused                            │ quorum votes
        └────────────────────────────────────────────────────────┴──────── leader heard ◀─────────── leader
    follower ──TimeoutNow from the leader──▶ candidate (no asking; voters do not insist on the leader they hear)

A member vouches for its leader while it has heard it within an election timeout and the connection stands; then it
refuses pre-votes and votes, so that a member that comes back from a partition cannot depose a leader that works.
"""

from __future__ import annotations

from collections.abc import Callable

from store.component import logs
from store.raft.adapter import Clock, Core
from store.raft.codec import Message
from store.raft.prevote import Elections

_log = logs.get("store.raft")

Send = Callable[[int, Message], None]


class Electorate:
    """The voters, as elections see them."""

    def __init__(self, member_id: int, voters: frozenset[int]) -> None:
        self.member_id = member_id
        self.voters = voters

    @property
    def quorum(self) -> int:
        return len(self.voters) // 2 + 1

    @property
    def others(self) -> frozenset[int]:
        return self.voters - {self.member_id}

    @property
    def is_voter(self) -> bool:
        return self.member_id in self.voters


class Candidacy:
    def __init__(
        self,
        core: Core,
        elections: Elections,
        electorate: Electorate,
        timeout_s: float,
        clock: Clock,
        send: Send,
    ) -> None:
        self._core = core
        self._elections = elections
        self._electorate = electorate
        self._timeout_s = timeout_s
        self._clock = clock
        self._send = send
        self._leader_gone = False
        self._asked_term = 0

    @property
    def wake_at(self) -> float:
        asking = self._elections.ask_at
        return self._core.election_at if asking is None else min(asking, self._core.election_at)

    # Time and connections

    def begin(self, now: float) -> None:
        """A member that is a quorum by itself has nobody to wait for."""
        if self._electorate.is_voter and self._electorate.quorum == 1:
            self._elections.leader_lost(now, self._electorate.voters, 0)

    def act(self, now: float) -> None:
        """Ask, stand for election, or let the core's time pass."""
        core = self._core
        if not core.is_leader and self._electorate.is_voter:
            if core.asked_to_lead:
                self._stand(now)
                return
            if core.election_at < now or self._elections.due(now):
                self._ask(now)
            won = self._elections.won(self._electorate.quorum, self._electorate.voters)
            if won and core.term == self._asked_term:
                self._stand(now)
                return
        core.tick(may_campaign=False)

    def peer_connected(self, now: float, peer: int, connected: set[int]) -> None:
        """With a quorum in reach and no leader heard since the start, there is nothing to wait for."""
        core = self._core
        if peer == core.leader:
            self._leader_gone = False
        quorum_reached = len(connected & self._electorate.others) + 1 >= self._electorate.quorum
        if quorum_reached and core.leader == 0 and core.last_heard_at < 0 and self._elections.ask_at is None:
            self._elections.leader_lost(now, self._electorate.voters, 0)

    def peer_disconnected(self, now: float, peer: int) -> None:
        core = self._core
        if peer == core.leader and not core.is_leader:
            self._leader_gone = True
            core.forget_leader()
            self._elections.leader_lost(now, self._electorate.voters, peer)

    def vouches_for_leader(self, now: float) -> bool:
        core = self._core
        if core.is_leader:
            heard = sum(now - core.heard_from(peer) < self._timeout_s for peer in self._electorate.others)
            return heard + 1 >= self._electorate.quorum
        return core.leader != 0 and not self._leader_gone and now - core.last_heard_at < self._timeout_s

    # Messages

    def on_append(self, message: Message) -> None:
        """Call before the core takes it."""
        if message["term"] >= self._core.term:
            self._leader_gone = False
            self._elections.leader_heard()

    def on_pre_vote(self, peer: int, message: Message) -> None:
        now = self._clock()
        granted = (
            message["term"] > self._core.term
            and not self.vouches_for_leader(now)
            and (message["last_log_term"], message["last_log_index"]) >= self._log_end()
        )
        if granted:
            self._elections.agreed_to_another(now)
        term = message["term"] if granted else self._core.term
        self._send(
            peer, {"type": "pre_vote_reply", "term": term, "ballot": message["ballot"], "granted": granted}
        )

    def on_pre_vote_reply(self, peer: int, message: Message) -> None:
        if message["granted"]:
            self._elections.grant(peer, message["ballot"])
        elif message["term"] > self._core.term:
            self._core.step_down(message["term"])

    def on_request_vote(self, peer: int, message: Message) -> None:
        now = self._clock()
        higher = message["term"] > self._core.term
        if higher and not message["transfer"] and self.vouches_for_leader(now):
            return
        self._core.receive(peer, message)
        if self._core.log.vote == peer and self._core.term == message["term"]:
            self._elections.agreed_to_another(now)

    # Candidacy

    def _ask(self, now: float) -> None:
        core = self._core
        core.postpone_election()
        ballot = self._elections.ask(now)
        self._asked_term = core.term
        index, term = self._core.log.entries[-1][1:]
        message = {
            "type": "pre_vote",
            "term": core.term + 1,
            "last_log_index": index,
            "last_log_term": term,
            "ballot": ballot,
        }
        for peer in self._electorate.others:
            self._send(peer, message)

    def _stand(self, now: float) -> None:
        _log.info("standing for election", term=self._core.term + 1, handed_over=self._core.asked_to_lead)
        self._elections.stood(now)
        self._core.campaign()

    def _log_end(self) -> tuple[int, int]:
        _, index, term = self._core.log.entries[-1]
        return term, index
