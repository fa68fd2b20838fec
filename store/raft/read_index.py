"""Linearizable reads: the read index (Raft thesis §6.4), one round of acknowledgements for all waiting reads.

The leader notes its commit index, sends a round number with the next messages to its followers, and knows when a
quorum has acknowledged that round *in its own term* that nobody else could have committed anything before it began.
It may do so only after an entry of its own term is committed (or its commit index may be behind). A follower asks
the leader for the index. Either way the read is served from the local state once that is applied.

`Rounds` is the leader's part, `Reads` the part of every member: waiting → asked → confirmed(index) → applied.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from store.raft.interface import RaftError, ReadTimeout

MAX_ROUNDS = 4
"""Rounds on the way at once; reads that come meanwhile share the next one."""
RETRY_HEARTBEATS = 5
"""A follower asks again when no answer came for so many heartbeats."""

Confirmed = Callable[[int], None]
Done = Callable[[int, RaftError | None], None]


@dataclass(slots=True)
class _Round:
    number: int
    index: int
    confirmed: list[Confirmed]


class Rounds:
    """The leader's rounds. `number` goes with every message to a follower, which returns it."""

    def __init__(self) -> None:
        self.number = 0
        self._waiting: list[Confirmed] = []
        self._open: deque[_Round] = deque()
        self._acknowledged: dict[int, int] = {}

    @property
    def idle(self) -> bool:
        """Nobody waits for a round."""
        return not self._open and not self._waiting

    def request(self, confirmed: Confirmed) -> None:
        self._waiting.append(confirmed)

    def begin(self, commit_index: int) -> bool:
        """Start a round for the waiting reads, if there are any; say whether messages must go out for it."""
        if not self._waiting or len(self._open) >= MAX_ROUNDS:
            return False
        self.number += 1
        self._open.append(_Round(self.number, commit_index, self._waiting))
        self._waiting = []
        return True

    def acknowledge(self, peer: int, number: int) -> None:
        if number > self._acknowledged.get(peer, 0):
            self._acknowledged[peer] = number

    def settle(self, other_voters: Iterable[int], quorum: int) -> None:
        """Confirm the rounds that a quorum, this member included, has acknowledged."""
        if not self._open:
            return
        numbers = sorted((self._acknowledged.get(peer, 0) for peer in other_voters), reverse=True)
        agreed = self.number if quorum <= 1 else numbers[quorum - 2]
        while self._open and self._open[0].number <= agreed:
            done = self._open.popleft()
            for confirmed in done.confirmed:
                confirmed(done.index)

    def abandon(self) -> None:
        """Leadership is lost: nothing that waits here can be confirmed. Who asked will ask the next leader."""
        self._waiting = []
        self._open.clear()
        self._acknowledged.clear()


@dataclass(slots=True)
class Read:
    deadline: float
    done: Done


@dataclass(slots=True)
class _Asked:
    number: int = 0
    at: float = 0.0
    reads: list[Read] = field(default_factory=list)


class Reads:
    """This member's reads. Requests are numbered from a number that no earlier process of this member used: the
    leader may still answer one of those."""

    def __init__(self, retry_s: float, first_number: int) -> None:
        self._retry_s = retry_s
        self._number = first_number
        self._waiting: list[Read] = []
        self._asked = _Asked()
        self._confirmed: list[tuple[int, int, list[Read]]] = []  # heap by index
        self._count = 0

    def submit(self, deadline: float, done: Done) -> None:
        self._waiting.append(Read(deadline, done))

    def ask(self, now: float) -> int | None:
        """The number of a request to make now; None when nothing waits or an answer is still to come."""
        if self._asked.reads:
            if now - self._asked.at < self._retry_s:
                return None
            self.reset()
        if not self._waiting:
            return None
        self._number += 1
        self._asked = _Asked(self._number, now, self._waiting)
        self._waiting = []
        return self._number

    def confirm(self, number: int, index: int) -> None:
        """The leader's answer: the reads of this request may be served once `index` is applied."""
        if number == self._asked.number and self._asked.reads:
            self._count += 1
            heapq.heappush(self._confirmed, (index, self._count, self._asked.reads))
            self._asked = _Asked()

    def reset(self) -> None:
        """The leader changed, or is silent: ask again."""
        self._waiting = self._asked.reads + self._waiting
        self._asked = _Asked()

    def applied(self, index: int) -> None:
        while self._confirmed and self._confirmed[0][0] <= index:
            for read in heapq.heappop(self._confirmed)[2]:
                read.done(index, None)

    def expire(self, now: float) -> None:
        self._waiting = _unexpired(self._waiting, now)
        self._asked.reads = _unexpired(self._asked.reads, now)
        for _, _, reads in self._confirmed:
            reads[:] = _unexpired(reads, now)

    def abandon(self, error: RaftError) -> None:
        groups = [self._waiting, self._asked.reads, *(reads for _, _, reads in self._confirmed)]
        self._waiting, self._asked, self._confirmed = [], _Asked(), []
        for read in [each for group in groups for each in group]:
            read.done(0, error)


def _unexpired(reads: list[Read], now: float) -> list[Read]:
    kept = []
    for read in reads:
        if read.deadline > now:
            kept.append(read)
        else:
            read.done(0, ReadTimeout("no quorum confirmed the read index in time"))
    return kept
