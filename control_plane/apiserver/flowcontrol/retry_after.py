"""When to come again: the more requests a level has refused of late, the later, up to MAX_RETRY_AFTER_S."""

from __future__ import annotations

from collections import deque

MAX_RETRY_AFTER_S = 32


class RetryAfter:
    """Of one priority level. `note` for each refusal; `seconds` is what the refused are told."""

    __slots__ = ("_count", "_history", "_raised_at", "_second", "seconds")

    def __init__(self) -> None:
        self.seconds = 1
        self._second = 0
        self._count = 0
        self._raised_at = 0
        self._history: deque[tuple[int, int]] = deque(maxlen=2 * MAX_RETRY_AFTER_S)

    def note(self, now_s: float) -> None:
        second = int(now_s)
        if second == self._second:
            self._count += 1
            return
        self._history.append((self._second, self._count))
        self._second, self._count = second, 1
        self._adjust(second)

    def _adjust(self, now: int) -> None:
        refused = sum(count for second, count in self._history if now - second <= self.seconds)
        if now - self._raised_at >= self.seconds and refused >= 3 * self.seconds:
            self.seconds = min(self.seconds * 2, MAX_RETRY_AFTER_S)
            self._raised_at = now
        elif refused < self.seconds > 1:
            self.seconds -= 1
