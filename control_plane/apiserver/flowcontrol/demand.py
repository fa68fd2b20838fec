"""How many seats a priority level could use: the maximum and the moments over a period, smoothed over periods.

The smoothed demand follows a rise at once and forgets it slowly; it is what decides who may borrow how much.
"""

from __future__ import annotations

import math

SMOOTHING = 0.977  # of what was remembered stays each period: half of it is gone after five minutes


class Integrator:
    """The integral of a step function of time."""

    __slots__ = ("_elapsed_s", "_highest", "_since_s", "_x", "_xdt", "_xxdt")

    def __init__(self, now_s: float) -> None:
        self._since_s = now_s
        self._x = self._xdt = self._xxdt = self._elapsed_s = self._highest = 0.0

    def set(self, x: float, now_s: float) -> None:
        self._advance(now_s)
        self._x = x
        if x > self._highest:
            self._highest = x

    def reset(self, now_s: float) -> tuple[float, float, float, float]:
        """Maximum, average, standard deviation and length of the period that ends now."""
        self._advance(now_s)
        highest, elapsed_s = self._highest, self._elapsed_s
        average = self._xdt / elapsed_s if elapsed_s > 0 else 0.0
        variance = self._xxdt / elapsed_s - average * average if elapsed_s > 0 else 0.0
        self._xdt = self._xxdt = self._elapsed_s = 0.0
        self._highest = self._x
        return highest, average, math.sqrt(max(0.0, variance)), elapsed_s

    def _advance(self, now_s: float) -> None:
        elapsed_s = now_s - self._since_s
        self._since_s = now_s
        area = self._x * elapsed_s
        self._elapsed_s += elapsed_s
        self._xdt += area
        self._xxdt += self._x * area


class DemandStats:
    __slots__ = ("average", "deviation", "high_watermark", "smoothed")

    def __init__(self) -> None:
        self.high_watermark = 0
        self.average = self.deviation = self.smoothed = 0.0

    def update(self, period: tuple[float, float, float, float]) -> None:
        highest, average, deviation, elapsed_s = period
        self.high_watermark = round(highest)
        if elapsed_s <= 0:
            return
        self.average, self.deviation = average, deviation
        envelope = average + deviation
        self.smoothed = max(envelope, SMOOTHING * self.smoothed + (1 - SMOOTHING) * envelope)
