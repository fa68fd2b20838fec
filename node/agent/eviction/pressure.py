"""What a node is short of, over time. Pure but for its own memory: `observe` is called with each measurement.

met          available below the threshold; once its grace was over, until the minimum reclaim is reached too
condition    true at once, false when nothing of its kind was met for the transition period
to reclaim   the thresholds met for as long as their grace is, memory first
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from node.agent.eviction.thresholds import CONDITION_OF, MEMORY, Threshold


@dataclass(frozen=True, slots=True)
class Observation:
    available: int
    capacity: int


Observations = Mapping[str, Observation]  # by signal; what is not measured is not there


@dataclass(frozen=True, slots=True)
class Verdict:
    conditions: frozenset[str] = frozenset()
    to_reclaim: tuple[Threshold, ...] = ()


class Pressure:
    def __init__(self, thresholds: Sequence[Threshold], transition_s: float) -> None:
        self._thresholds = thresholds
        self._transition_s = transition_s
        self._first_met_s: dict[Threshold, float] = {}
        self._acted_on: tuple[Threshold, ...] = ()
        self._last_seen_s: dict[str, float] = {}

    def observe(self, observations: Observations, now_s: float) -> Verdict:
        met = [
            each
            for each in self._thresholds
            if is_met(each, observations, with_reclaim=each in self._acted_on)
        ]
        self._first_met_s = {each: self._first_met_s.get(each, now_s) for each in met}
        self._last_seen_s |= {CONDITION_OF[each.signal]: now_s for each in met}
        conditions = frozenset(
            kind
            for kind, at_s in self._last_seen_s.items()
            if at_s == now_s or now_s - at_s < self._transition_s
        )
        ripe = [each for each, since_s in self._first_met_s.items() if now_s - since_s >= each.grace_s]
        self._acted_on = tuple(ripe)
        ripe.sort(key=lambda each: (each.signal != MEMORY, not each.is_hard))
        return Verdict(conditions, tuple(ripe))


def is_met(threshold: Threshold, observations: Observations, with_reclaim: bool = False) -> bool:
    seen = observations.get(threshold.signal)
    if seen is None:
        return False
    wanted = threshold.amount.of(seen.capacity)
    if with_reclaim:
        wanted += threshold.min_reclaim.of(seen.capacity)
    return seen.available < wanted
