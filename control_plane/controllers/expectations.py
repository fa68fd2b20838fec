"""What a controller has done that its informer has not shown yet.

A controller that reads its cache just after a write would see too few (or too many) pods and act twice. It says
what it expects before it writes; until the informer has shown it, or the time is up, it leaves that key alone. A
write that failed is not expected any more.
"""

from __future__ import annotations

from dataclasses import dataclass, field

TIMEOUT_S = 300.0  # an event that has not come by then will not; the informer has been relisted meanwhile


@dataclass(slots=True)
class _Expected:
    since: float
    creations: int = 0
    deletions: set[str] = field(default_factory=set)  # pod uids


class Expectations:
    """Keyed by the owner's key. Bounded by the number of owners: settled entries are dropped."""

    def __init__(self) -> None:
        self._by_key: dict[str, _Expected] = {}

    def satisfied(self, key: str, now: float) -> bool:
        expected = self._by_key.get(key)
        if expected is None:
            return True
        if (expected.creations <= 0 and not expected.deletions) or now - expected.since > TIMEOUT_S:
            del self._by_key[key]
            return True
        return False

    def expect_creations(self, key: str, count: int, now: float) -> None:
        self._entry(key, now).creations += count

    def expect_deletion(self, key: str, uid: str, now: float) -> None:
        self._entry(key, now).deletions.add(uid)

    def created(self, key: str, count: int = 1) -> None:
        if expected := self._by_key.get(key):
            expected.creations -= count

    def deleted(self, key: str, uid: str) -> None:
        if expected := self._by_key.get(key):
            expected.deletions.discard(uid)

    def forget(self, key: str) -> None:
        self._by_key.pop(key, None)

    def _entry(self, key: str, now: float) -> _Expected:
        entry = self._by_key.setdefault(key, _Expected(now))
        entry.since = now
        return entry
