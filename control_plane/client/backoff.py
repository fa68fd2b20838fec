"""Delays between tries: exponential, jittered, bounded. Pure; randomness is injected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Random = Callable[[], float]  # uniform in [0, 1)


@dataclass(slots=True)
class Backoff:
    """`next_s()` grows from `base_s` to `max_s`; each delay is drawn from [delay/2, delay).

    The jitter is what keeps a hundred clients from coming back to a restarted server in one instant.
    """

    random: Random
    base_s: float = 0.05
    max_s: float = 30.0
    factor: float = 2.0
    tries: int = 0

    def next_s(self) -> float:
        delay_s = min(self.max_s, self.base_s * self.factor ** min(self.tries, 64))
        self.tries += 1
        return delay_s * (0.5 + self.random() / 2)

    def reset(self) -> None:
        self.tries = 0
