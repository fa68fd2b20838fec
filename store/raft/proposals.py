"""Proposals that wait for their result, and what happens to each when leaders change.

A proposal is named by (session, number): the session is this process's, the number counts up. It stays queued until
a leader is known, is sent in one term, and is answered by the *local* state machine when an entry that carries its
name is applied here. What was sent in term T stands in the log as an entry of term T or not at all (a leader takes
only proposals of its own term), and terms never fall along the log; so when the first entry of a later term is
applied and no result came, it is certain that it never will be: the proposal is queued again, under a new number,
and nothing can be applied twice. Only a snapshot that jumps over entries, or the caller's patience, ends in
OutcomeUnknown.

    ┌▶ queued ──leader known──▶ sent(term) ──entry applied──▶ result
    │    │ deadline: NotLeader     │   │ deadline, or snapshot installed: OutcomeUnknown
    │    ▼                         │   ▼
    └──entry of a later term───────┘

A proposal whose connection breaks is sent again to the same leader in the same term, which knows its number; that
is no second proposal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from store.raft.config import Limits
from store.raft.interface import NotLeader, OutcomeUnknown, ProposalDropped, RaftError, TooManyRequests
from store.raft.membership import Change

Done = Callable[[Any, RaftError | None], None]
"""Told the result, or the error."""


@dataclass(slots=True)
class Proposal:
    number: int
    command: bytes
    change: Change | None  # a change of members instead of a command
    deadline: float
    done: Done
    sent_term: int | None = None


class Proposals:
    def __init__(self, session: int, limits: Limits) -> None:
        self.session = session
        self._limits = limits
        self._next_number = 1
        self._queued: deque[Proposal] = deque()
        self._waiting: dict[int, Proposal] = {}  # queued and sent, by number
        self._bytes = 0
        self._applied_term = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def queued(self) -> bool:
        return bool(self._queued)

    def submit(self, command: bytes, deadline: float, done: Done, change: Change | None = None) -> None:
        """Raises ProposalDropped, TooManyRequests."""
        if len(command) > self._limits.request_bytes:
            raise ProposalDropped(
                f"the command has {len(command)} bytes, the limit is {self._limits.request_bytes}"
            )
        in_flight, size = len(self._waiting), self._bytes + len(command)
        if in_flight >= self._limits.in_flight or size > self._limits.in_flight_bytes:
            raise TooManyRequests("too many requests")
        self._bytes = size
        self._enqueue(Proposal(0, command, change, deadline, done))

    def take(self, term: int) -> list[Proposal]:
        """The next proposals to send in `term`, as many as fit one entry; a change of members travels alone."""
        taken: list[Proposal] = []
        size = 0
        while self._queued:
            proposal = self._queued[0]
            if not self._may_be_sent(proposal, term):
                self._queued.popleft()
                continue
            alone = proposal.change is not None
            if taken and (alone or size + len(proposal.command) > self._limits.batch_bytes):
                break
            self._queued.popleft()
            proposal.sent_term = term
            taken.append(proposal)
            size += len(proposal.command)
            if alone:
                break
        return taken

    def send_again(self, term: int) -> None:
        """The connection to the leader of `term` is new: what was sent may be lost with the old one. The leader
        tells by the numbers what it has already."""
        self._queued.extendleft(reversed([each for each in self._sent() if each.sent_term == term]))

    def resolve(self, session: int, numbers: Sequence[int], results: Sequence[Any]) -> None:
        """An entry with these proposals was applied here."""
        if session == self.session:
            for number, result in zip(numbers, results, strict=True):
                error = result if isinstance(result, RaftError) else None
                self._finish(number, None if error else result, error)

    def applied_entry(self, term: int) -> None:
        """Call before the entry's own proposals are resolved: what was sent in an earlier term is lost."""
        if term > self._applied_term:
            self._applied_term = term
            lost = [each for each in self._sent() if each.sent_term is not None and each.sent_term < term]
            for proposal in lost:
                del self._waiting[proposal.number]
                proposal.sent_term = None
                self._enqueue(proposal)

    def snapshot_installed(self) -> None:
        """Entries were skipped: whether they held a proposal of ours is not known here."""
        for proposal in self._sent():
            self._finish(
                proposal.number, None, OutcomeUnknown("a snapshot from the leader took the entry's place")
            )

    def expire(self, now: float) -> None:
        for proposal in [each for each in self._waiting.values() if each.deadline <= now]:
            if proposal.sent_term is None:
                error: RaftError = NotLeader("no leader was known in time")
            else:
                error = OutcomeUnknown("sent to the leader, but no result arrived in time")
            self._finish(proposal.number, None, error)

    def abandon(self, unsent: RaftError, sent: RaftError) -> None:
        for proposal in list(self._waiting.values()):
            self._finish(proposal.number, None, unsent if proposal.sent_term is None else sent)

    def _enqueue(self, proposal: Proposal) -> None:
        proposal.number = self._next_number
        self._next_number += 1
        self._waiting[proposal.number] = proposal
        self._queued.append(proposal)

    def _may_be_sent(self, proposal: Proposal, term: int) -> bool:
        """Not if it expired; and what was sent once is never sent in another term."""
        return proposal.number in self._waiting and proposal.sent_term in (None, term)

    def _sent(self) -> Iterable[Proposal]:
        return [each for each in self._waiting.values() if each.sent_term is not None]

    def _finish(self, number: int, result: Any, error: RaftError | None) -> None:
        proposal = self._waiting.pop(number, None)
        if proposal is not None:  # else it expired
            self._bytes -= len(proposal.command)
            proposal.done(result, error)
