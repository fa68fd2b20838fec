"""Virtual time: what happens next, in an order that the seed alone decides.

Nothing in a simulation reads a clock, draws from another source of randomness or iterates a set of strings;
so two runs of a seed are the same run, event by event.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any


class World:
    def __init__(self, seed: int, trace: Callable[[str], None] | None = None) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.events = 0
        self.tracing = trace is not None
        self._trace = trace or (lambda line: None)
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def after(self, delay_s: float, call: Callable[..., None], *arguments: Any) -> None:
        self._count += 1
        heappush(self._heap, (self.now + delay_s, self._count, call, arguments))

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass; True as soon as `until` holds (asked now and then, as time passes)."""
        end, asked_at = self.now + seconds, self.now
        heap = self._heap
        while heap and heap[0][0] <= end:
            self.now, _, call, arguments = heappop(heap)
            self.events += 1
            call(*arguments)
            if until is not None and self.now >= asked_at:
                if until():
                    return True
                asked_at = self.now + 0.05
        self.now = end
        return until is not None and until()

    def trace(self, who: str, what: str) -> None:
        self._trace(f"{self.now:10.4f} {who:<4} {what}")
