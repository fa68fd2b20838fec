"""When leases run out: deadlines of one member, by a clock that the caller reads. Pure.

Every member follows the renewals it applies, so that a new leader has deadlines at once; but it may have
applied the last renewals late, or been paused. So on taking office it extends every lease to its full time
(or what was last checkpointed of a long one), as etcd does: a lease may live too long, never too short.

A heap holds one entry per (re)newal; entries that a later one has overtaken are dropped when they surface,
and the heap is rebuilt when most of it is stale.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from store.lease.table import Lease

MAX_EXPIRED_PER_TURN = 1000
CHECKPOINT_INTERVAL_S = 300.0  # etcd's; only leases that are longer than this need one
RETRY_S = 1.0  # an expiry whose proposal failed is due again after this


class LeaseClock:
    def __init__(self) -> None:
        self._deadlines: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []

    def set(self, id: int, deadline: float) -> None:
        self._deadlines[id] = deadline
        heapq.heappush(self._heap, (deadline, id))
        if len(self._heap) > 2 * len(self._deadlines) + 64:
            self._rebuild()

    def renewed(self, lease: Lease, now: float) -> None:
        self.set(lease.id, now + lease.ttl_s)

    def removed(self, id: int) -> None:
        self._deadlines.pop(id, None)

    def promote(self, leases: Iterable[Lease], now: float) -> None:
        """This member leads from now on: every lease gets its time again."""
        self._deadlines = {lease.id: now + (lease.remaining_s or lease.ttl_s) for lease in leases}
        self._rebuild()

    def expired(self, now: float) -> list[int]:
        """Leases whose time is up, the oldest first; each is due again after `RETRY_S` unless it is
        removed."""
        due: list[int] = []
        while self._heap and self._heap[0][0] <= now and len(due) < MAX_EXPIRED_PER_TURN:
            deadline, id = heapq.heappop(self._heap)
            if self._deadlines.get(id) == deadline:
                due.append(id)
        for id in due:
            self.set(id, now + RETRY_S)
        return due

    def next_deadline(self) -> float | None:
        while self._heap and self._deadlines.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def remaining_s(self, id: int, now: float) -> float:
        return max(0.0, self._deadlines.get(id, now) - now)

    def checkpoints(self, leases: Iterable[Lease], now: float) -> list[tuple[int, int]]:
        """(id, remaining seconds) of the long leases, for the leader to propose every
        `CHECKPOINT_INTERVAL_S`."""
        return [
            (lease.id, int(self.remaining_s(lease.id, now)))
            for lease in leases
            if lease.ttl_s > CHECKPOINT_INTERVAL_S and self.remaining_s(lease.id, now) >= 1
        ]

    def _rebuild(self) -> None:
        self._heap = [(deadline, id) for id, deadline in self._deadlines.items()]
        heapq.heapify(self._heap)
