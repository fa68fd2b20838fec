r"""The seats of one priority level and the queues before them, served fairly in virtual time.

Virtual time R runs at the rate at which a busy queue gets seats. Each queue has the R at which its next request is
due (`next_r`), which every dispatch pushes back by the work it is expected to be; the queue whose oldest request
would be finished first is served first. When a request ends sooner or later than was expected, its queue is
corrected. A queue that was idle starts at the present R: what it did not use is not saved up.

Pure: the caller passes the time and wakes the tickets that a call returns.

    start -> EXECUTING ----------------------------> finish -> [linger] -> released
          -> WAITING ---- returned by another call -^
                    \--- cancel
          -> REJECTED
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import Enum
from typing import Any

from control_plane.apiserver.flowcontrol.demand import Integrator
from control_plane.apiserver.flowcontrol.tallies import Tally

EXPECTED_SERVICE_S = 0.003
UNLIMITED = -1  # queues of an exempt level
NO_QUEUES = 0  # of a level that refuses


class State(Enum):
    EXECUTING = "executing"
    WAITING = "waiting"
    REJECTED = "rejected"
    FINISHED = "finished"


class Queue:
    __slots__ = ("executing", "index", "next_r", "seats", "waiting", "waiting_work")

    def __init__(self, index: int) -> None:
        self.index = index
        self.waiting: deque[Ticket] = deque()
        self.waiting_work = 0.0
        self.executing = 0
        self.seats = 0
        self.next_r = 0.0


class Ticket:
    """One request. `linger_s`: how long its seats are taken after its end, for the watch events that it causes.
    `owner` is the caller's."""

    __slots__ = (
        "arrived_r",
        "arrived_s",
        "final_seats",
        "linger_s",
        "owner",
        "queue",
        "seats",
        "seats_initial",
        "started_s",
        "state",
        "tally",
        "work",
    )

    def __init__(self, tally: Tally, seats: int, final_seats: int = 0, linger_s: float = 0.0) -> None:
        self.tally = tally
        self.seats_initial = seats
        self.final_seats = final_seats
        self.seats = seats if seats > final_seats else final_seats
        self.linger_s = linger_s
        self.work = seats * EXPECTED_SERVICE_S + final_seats * linger_s
        self.queue: Queue | None = None
        self.arrived_s = self.started_s = self.arrived_r = 0.0
        self.state = State.WAITING
        self.owner: Any = None


class QueueSet:
    """`queues`: how many (or UNLIMITED, NO_QUEUES); each holds at most `max_length` waiting requests."""

    def __init__(self, queues: int, max_length: int, limit: int, now_s: float) -> None:
        self.limit = limit
        self.executing: dict[Ticket, None] = {}
        self.waiting = self.waiting_seats = self.seats_in_use = 0
        self.dispatched = self.rejected = self.timed_out = self.cancelled = 0
        self.virtual_r = 0.0
        self.demand = Integrator(now_s)
        self.queues: dict[int, Queue] = {}  # those with anything waiting or executing
        self._with_waiting: dict[Queue, None] = {}
        self._wanted = queues
        self._max_length = max_length
        self._enqueued = 0
        self._synced_s = now_s
        self.configure(queues, max_length, limit, now_s)

    @property
    def is_idle(self) -> bool:
        return not self.executing and self.waiting == 0 and self.seats_in_use == 0

    def configure(self, queues: int, max_length: int, limit: int, now_s: float) -> list[Ticket]:
        """What waits in a queue that there is no longer is still served."""
        self._sync(now_s)
        self._wanted, self.limit = queues, limit
        self._max_length = max_length
        return self._dispatch(now_s)

    def start(self, ticket: Ticket, hand: Sequence[int], now_s: float) -> State:
        """`ticket.state` says the same afterwards. Who is dealt no hand has no queue to wait in."""
        ticket.arrived_s = now_s
        if not hand:
            if self._wanted != UNLIMITED and not self._fits(ticket.seats):
                return self._reject(ticket, "concurrency-limit")
            self._begin(ticket, now_s)
            return State.EXECUTING
        self._sync(now_s)
        queue = self._shortest(hand)
        if self.seats_in_use >= self.limit and len(queue.waiting) >= self._max_length:
            return self._reject(ticket, "queue-full")
        ticket.queue = queue
        ticket.arrived_r = self.virtual_r
        if queue.index not in self.queues:
            queue.next_r = self.virtual_r
            self.queues[queue.index] = queue
        if self.waiting == 0 and self.seats_in_use < self.limit and self._fits(ticket.seats):
            self._bound(queue, ticket)
            ticket.tally.queue_length.observe(1)
            self._begin(ticket, now_s)
        else:
            self._enqueue(ticket, queue, now_s)
        return ticket.state

    def finish(self, ticket: Ticket, now_s: float) -> list[Ticket]:
        """Its service has ended; the seats are free at once, or for `release` when it lingers."""
        assert ticket.state is State.EXECUTING
        ticket.state = State.FINISHED
        del self.executing[ticket]
        tally = ticket.tally
        tally.executing -= 1
        tally.executed_s.observe(now_s - ticket.started_s)
        queue = ticket.queue
        if queue is not None:
            self._sync(now_s)
            queue.executing -= 1
            queue.next_r -= ticket.seats_initial * (EXPECTED_SERVICE_S - (now_s - ticket.started_s))
            self._settle(queue)
        return [] if ticket.linger_s > 0 else self.release(ticket, now_s)

    def release(self, ticket: Ticket, now_s: float) -> list[Ticket]:
        """Its seats are free; what can be served now."""
        self.seats_in_use -= ticket.seats
        ticket.tally.executing_seats -= ticket.seats
        if ticket.queue is not None:
            ticket.queue.seats -= ticket.seats
        self.demand.set(self.seats_in_use + self.waiting_seats, now_s)
        return self._dispatch(now_s) if self.waiting else []

    def cancel(self, ticket: Ticket, now_s: float, *, timed_out: bool) -> list[Ticket]:
        """It waits no longer. Who stood behind it may be served now."""
        if ticket.state is not State.WAITING or ticket.queue is None:
            return []
        self._sync(now_s)
        self._dequeue(ticket, ticket.queue)
        self._settle(ticket.queue)
        ticket.state = State.REJECTED
        self.rejected += 1
        self.timed_out += timed_out
        self.cancelled += not timed_out
        ticket.tally.reject("time-out" if timed_out else "cancelled")
        ticket.tally.refused_after_s.observe(now_s - ticket.arrived_s)
        self.demand.set(self.seats_in_use + self.waiting_seats, now_s)
        return self._dispatch(now_s)

    # --- inside

    def _reject(self, ticket: Ticket, reason: str) -> State:
        self.rejected += 1
        ticket.state = State.REJECTED
        ticket.tally.reject(reason)
        ticket.tally.refused_after_s.observe(0.0)
        return State.REJECTED

    def _fits(self, seats: int) -> bool:
        """A request wider than the level is served when nothing else is."""
        if seats > self.limit:
            return not self.executing
        return self.seats_in_use + seats <= self.limit

    def _shortest(self, hand: Sequence[int]) -> Queue:
        """That with the least work waiting; ties are broken in turn."""
        self._enqueued += 1
        size, best = len(hand), None
        for offset in range(size):
            index = hand[(self._enqueued + offset) % size]
            queue = self.queues.get(index)
            if queue is None:
                return Queue(index)
            if queue.waiting_work == 0.0:
                return queue
            if best is None or queue.waiting_work < best.waiting_work:
                best = queue
        assert best is not None
        return best

    def _enqueue(self, ticket: Ticket, queue: Queue, now_s: float) -> None:
        ticket.state = State.WAITING
        queue.waiting.append(ticket)
        queue.waiting_work += ticket.work
        self._with_waiting[queue] = None
        self._bound(queue, queue.waiting[0])
        self.waiting += 1
        self.waiting_seats += ticket.seats
        tally = ticket.tally
        tally.waiting += 1
        tally.waiting_seats += ticket.seats
        tally.queue_length.observe(len(queue.waiting))
        self.demand.set(self.seats_in_use + self.waiting_seats, now_s)
        # A request behind which others wait may fit where the one before it did not.
        if self.seats_in_use < self.limit:
            dispatched = self._dispatch(now_s)
            assert dispatched in ([], [ticket]), "what waited before could have been served before"

    def _dequeue(self, ticket: Ticket, queue: Queue) -> None:
        queue.waiting.remove(ticket)
        queue.waiting_work = queue.waiting_work - ticket.work if queue.waiting else 0.0
        del self._with_waiting[queue]
        if queue.waiting:
            self._with_waiting[queue] = None  # behind the others: ties are served in turn
        self.waiting -= 1
        self.waiting_seats -= ticket.seats
        ticket.tally.waiting -= 1
        ticket.tally.waiting_seats -= ticket.seats

    def _settle(self, queue: Queue) -> None:
        if queue.waiting:
            self._bound(queue, queue.waiting[0])
        elif not queue.executing:
            del self.queues[queue.index]

    def _begin(self, ticket: Ticket, now_s: float) -> None:
        ticket.state = State.EXECUTING
        ticket.started_s = now_s
        self.executing[ticket] = None
        self.dispatched += 1
        self.seats_in_use += ticket.seats
        queue, tally = ticket.queue, ticket.tally
        if queue is not None:
            queue.executing += 1
            queue.seats += ticket.seats
            queue.next_r += ticket.work
            tally.waited_s.observe(now_s - ticket.arrived_s)
        tally.dispatched += 1
        tally.executing += 1
        tally.executing_seats += ticket.seats
        tally.seats.observe(ticket.seats)
        self.demand.set(self.seats_in_use + self.waiting_seats, now_s)

    def _dispatch(self, now_s: float) -> list[Ticket]:
        served: list[Ticket] = []
        while self.waiting and self.seats_in_use < self.limit:
            queue = min(self._with_waiting, key=_due)
            ticket = queue.waiting[0]
            if not self._fits(ticket.seats):
                ticket.tally.unaccommodated += 1
                break
            self._dequeue(ticket, queue)
            self._begin(ticket, now_s)
            self._settle(queue)
            served.append(ticket)
        return served

    def _bound(self, queue: Queue, oldest: Ticket) -> None:
        if queue.next_r < oldest.arrived_r:
            queue.next_r = oldest.arrived_r

    def _sync(self, now_s: float) -> None:
        if self.queues:
            seats = min(self.seats_in_use + self.waiting_seats, self.limit)
            self.virtual_r += (now_s - self._synced_s) * seats / len(self.queues)
        self._synced_s = now_s


def _due(queue: Queue) -> float:
    return queue.next_r + queue.waiting[0].work
