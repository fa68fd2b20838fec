"""A daemon that a node does not take fails at once, again and again: it is made anew after a second, then after
twice the time, fifteen minutes at most. Kept in memory: a loop that starts anew is impatient anew."""

from __future__ import annotations

FIRST_S = 1.0
LIMIT_S = 900.0

Key = tuple[str, str]  # uid of the set, node


class Patience:
    def __init__(self) -> None:
        self._delays: dict[Key, tuple[float, float]] = {}  # (delay, since when); bounded by `forget` and age

    def left_s(self, key: Key, now: float) -> float:
        """0: act, which counts."""
        delay_s, since = self._delays.get(key, (0.0, now))
        if now - since < delay_s:
            return since + delay_s - now
        self._delays = {
            each: (delay, at) for each, (delay, at) in self._delays.items() if now - at <= 2 * LIMIT_S
        }
        grown_s = min(delay_s * 2, LIMIT_S) if key in self._delays else FIRST_S
        self._delays[key] = (grown_s, now)
        return 0.0

    def forget(self, uid: str) -> None:
        self._delays = {key: value for key, value in self._delays.items() if key[0] != uid}
