"""Priority levels as they stand: seats that are each one's own, what it lends, what it has borrowed.

    nominal = ceil(seats of the server * shares / all shares)
    lower   = nominal - lendable        never lent
    upper   = nominal + borrowing limit
    limit   = what the level has now, between the two; divided anew every period by what was asked for

Pure but for the tickets that a change lets through, which are returned to be woken.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from control_plane.api.flowcontrol import MAX_ENTROPY_BITS, entropy_bits
from control_plane.apiserver.flowcontrol.allocation import Wish, allocate
from control_plane.apiserver.flowcontrol.demand import DemandStats
from control_plane.apiserver.flowcontrol.queueset import NO_QUEUES, UNLIMITED, QueueSet, Ticket
from control_plane.apiserver.flowcontrol.retry_after import RetryAfter

MAX_SEATS_SHARE = 0.15  # of a level's nominal seats for one request, where requests queue
DEFAULT_HAND_SIZE = 8

Object = dict[str, Any]


class Broken(ValueError):
    """The object describes no priority level."""


class Level:
    """`quiescing`: its object is gone, its requests are not."""

    def __init__(self, config: Object, now_s: float) -> None:
        self.name: str = config["metadata"]["name"]
        self.quiescing = False
        self.nominal = self.lower = self.upper = 0
        self.max_seats = 0  # of one request; 0: no bound but the estimator's
        self.stats = DemandStats()
        self.target = 0.0
        self.retry_after = RetryAfter()
        self.configure(config)
        self.queues = QueueSet(self.queue_count, self.queue_length, 0, now_s)

    def configure(self, config: Object) -> None:
        """Raises Broken."""
        spec = config.get("spec") or {}
        kind = spec.get("type")
        part = spec.get("limited" if kind == "Limited" else "exempt")
        if kind not in ("Limited", "Exempt") or part is None:
            raise Broken("type and union member do not agree")
        if (kind == "Exempt") != (config["metadata"]["name"] == "exempt"):
            raise Broken("only the level named exempt is exempt")
        response = part.get("limitResponse") or {}
        queuing = response.get("queuing") if response.get("type") == "Queue" else None
        if kind == "Limited" and (response.get("type") == "Queue") != (queuing is not None):
            raise Broken("limitResponse and its queuing do not agree")
        queues, length, hand = NO_QUEUES if kind == "Limited" else UNLIMITED, 0, 0
        if queuing is not None:
            queues, length = int(queuing["queues"]), int(queuing["queueLengthLimit"])
            hand = int(queuing["handSize"])
            if not 0 < hand <= queues or entropy_bits(queues, hand) > MAX_ENTROPY_BITS:
                raise Broken("no such hand can be dealt")
        self.uid = str(config["metadata"].get("uid", ""))
        self.exempt = kind == "Exempt"
        self.queue_count, self.queue_length, self.hand_size = queues, length, hand
        shares = part.get("nominalConcurrencyShares")
        self.shares = (0 if self.exempt else 30) if shares is None else int(shares)
        self.lendable_percent = int(part.get("lendablePercent") or 0)
        self.borrowing_percent: int | None = part.get("borrowingLimitPercent")


class Levels:
    """`seats`: how many requests the server is to serve at once."""

    def __init__(self, seats: int) -> None:
        self._seats = seats
        self.by_name: dict[str, Level] = {}
        self.fair_fraction = 0.0

    def digest(
        self, configs: Iterable[Object], fallbacks: Mapping[str, Object], now_s: float
    ) -> list[Ticket]:
        """Take over the configuration; what is broken is as if it were not there. `fallbacks` are always there."""
        found: dict[str, Level] = {}
        for config in [*configs, *fallbacks.values()]:
            name = config["metadata"]["name"]
            if name in found:
                continue
            level = self.by_name.get(name)
            try:
                if level is None:
                    level = Level(config, now_s)
                else:
                    level.configure(config)
            except (Broken, KeyError, TypeError, ValueError):
                continue
            level.quiescing = False
            found[name] = level
        for name, level in self.by_name.items():
            if name not in found and not level.queues.is_idle:
                level.quiescing = True
                found[name] = level
        self.by_name = found
        self._divide()
        return self._apply(now_s)

    def rebalance(self, now_s: float) -> list[Ticket]:
        """At the end of a period: seats go where they were asked for."""
        for name in [name for name, each in self.by_name.items() if each.quiescing and each.queues.is_idle]:
            del self.by_name[name]
        for level in self.by_name.values():
            level.stats.update(level.queues.demand.reset(now_s))
        return self._apply(now_s)

    def _divide(self) -> None:
        shares = sum(level.shares for level in self.by_name.values()) or 1
        for level in self.by_name.values():
            level.nominal = math.ceil(self._seats * level.shares / shares)
            level.lower = level.nominal - round(level.nominal * level.lendable_percent / 100)
            borrowing = level.borrowing_percent
            level.upper = level.nominal + (
                self._seats if borrowing is None else round(level.nominal * borrowing / 100)
            )
            level.max_seats = 0
            if level.hand_size:
                widest = min(math.ceil(level.nominal * MAX_SEATS_SHARE), level.nominal // level.hand_size)
                level.max_seats = max(1, widest)

    def _apply(self, now_s: float) -> list[Ticket]:
        served: list[Ticket] = []
        for name, limit in self._limits().items():
            level = self.by_name[name]
            served += level.queues.configure(level.queue_count, level.queue_length, limit, now_s)
        return served

    def _limits(self) -> dict[str, int]:
        """What each level may use until the next period."""
        limits: dict[str, int] = {}
        remaining = sum(level.nominal for level in self.by_name.values())
        limited: list[Level] = []
        for name, level in self.by_name.items():
            if level.exempt:
                limits[name] = max(level.lower, level.stats.high_watermark)
                remaining -= limits[name]
            else:
                limited.append(level)
        least = {level.name: _least(level) for level in limited}
        lower_sum, least_sum = sum(level.lower for level in limited), sum(least.values())
        self.fair_fraction = 0.0
        for level in limited:
            level.target = max(float(least[level.name]), level.stats.smoothed)
        if remaining <= lower_sum:
            return limits | {level.name: level.lower for level in limited}
        if remaining <= least_sum:
            share = (remaining - lower_sum) / (least_sum - lower_sum)
            return limits | {
                level.name: level.lower + round((least[level.name] - level.lower) * share)
                for level in limited
            }
        wishes = [Wish(least[level.name], level.upper, level.target) for level in limited]
        allotted, self.fair_fraction = allocate(remaining, wishes)
        return limits | {level.name: round(seats) for level, seats in zip(limited, allotted, strict=True)}


def _least(level: Level) -> int:
    """What the level keeps whatever others ask for: of its own seats, those that it has used of late."""
    return max(level.lower, min(level.nominal, level.stats.high_watermark))
