"""Counters of one flow schema at one priority level: plain numbers on the way of every request, turned into metrics
only when somebody reads them."""

from __future__ import annotations

from control_plane.apiserver.series import Buckets

DURATION_BUCKETS_S = (0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30)
LENGTH_BUCKETS = (0, 10, 25, 50, 100, 250, 500, 1000)
SEATS_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 100)


class Tally:
    """`schema` at `level`. Lives as long as the process, as a series does."""

    __slots__ = (
        "dispatched",
        "executed_s",
        "executing",
        "executing_seats",
        "level",
        "queue_length",
        "refused_after_s",
        "rejected",
        "schema",
        "seats",
        "unaccommodated",
        "waited_s",
        "waiting",
        "waiting_seats",
    )

    def __init__(self, schema: str, level: str) -> None:
        self.schema = schema
        self.level = level
        self.dispatched = 0
        self.unaccommodated = 0
        self.rejected: dict[str, int] = {}
        self.waiting = self.waiting_seats = 0
        self.executing = self.executing_seats = 0
        self.waited_s = Buckets(DURATION_BUCKETS_S)
        self.refused_after_s = Buckets(DURATION_BUCKETS_S)
        self.executed_s = Buckets(DURATION_BUCKETS_S)
        self.seats = Buckets(SEATS_BUCKETS)
        self.queue_length = Buckets(LENGTH_BUCKETS)

    def reject(self, reason: str) -> None:
        self.rejected[reason] = self.rejected.get(reason, 0) + 1
