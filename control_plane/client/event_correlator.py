"""What becomes of an event before it is written: client-go's EventCorrelator. Pure; time is an argument.

same object, type, reason, message        counted up: one Event, `count` and `lastTimestamp` patched
more than 10 messages in 10 minutes       folded into one, "(combined from similar events): …"
more than 25 at once about one object     dropped; one more every 5 minutes
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from control_plane.client.types import Obj

MAX_REMEMBERED = 4096  # per table; the least recently used is forgotten: its next event is a new one
AGGREGATE_AFTER = 10
AGGREGATE_INTERVAL_S = 600.0
SPAM_BURST = 25
SPAM_REFILL_PER_S = 1 / 300
COMBINED_PREFIX = "(combined from similar events): "

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Create `event`, or patch the one of that name with its `count`; None means drop it."""

    event: Obj | None
    patch: Obj | None = None


@dataclass(slots=True)
class _Similar:
    last_s: float
    messages: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Seen:
    name: str
    count: int
    first: str


@dataclass(slots=True)
class _Allowance:
    tokens: float
    at_s: float


class _Lru(Generic[V]):
    def __init__(self) -> None:
        self._entries: OrderedDict[Hashable, V] = OrderedDict()

    def get(self, key: Hashable, default: Callable[[], V]) -> V:
        if key not in self._entries:
            self._entries[key] = default()
            if len(self._entries) > MAX_REMEMBERED:
                self._entries.popitem(last=False)
        self._entries.move_to_end(key)
        return self._entries[key]


class EventCorrelator:
    def __init__(self) -> None:
        self._similar: _Lru[_Similar] = _Lru()
        self._seen: _Lru[_Seen] = _Lru()
        self._allowances: _Lru[_Allowance] = _Lru()

    def correlate(self, event: Obj, now_s: float) -> Verdict:
        """`event` is a new core/v1 Event of count 1; it may be changed."""
        about = _about(event)
        combined = self._combine(event, about, now_s)
        message = "" if combined else event["message"]
        verdict = self._count((about, event["type"], event["reason"], message, combined), event)
        return verdict if self._allowed((about, event["type"]), now_s) else Verdict(None)

    def _combine(self, event: Obj, about: Hashable, now_s: float) -> bool:
        similar = self._similar.get((about, event["type"], event["reason"]), lambda: _Similar(now_s))
        if now_s - similar.last_s > AGGREGATE_INTERVAL_S:
            similar.messages.clear()
        similar.last_s = now_s
        similar.messages.add(event["message"])
        if len(similar.messages) < AGGREGATE_AFTER:
            return False
        similar.messages.pop()  # which one does not matter: the set only has to stay full
        event["message"] = COMBINED_PREFIX + event["message"]
        return True

    def _allowed(self, key: Hashable, now_s: float) -> bool:
        allowance = self._allowances.get(key, lambda: _Allowance(SPAM_BURST, now_s))
        refill = (now_s - allowance.at_s) * SPAM_REFILL_PER_S
        allowance.tokens = min(SPAM_BURST, allowance.tokens + refill)
        allowance.at_s = now_s
        if allowance.tokens < 1:
            return False
        allowance.tokens -= 1
        return True

    def _count(self, key: Hashable, event: Obj) -> Verdict:
        name = event["metadata"]["name"]
        seen = self._seen.get(key, lambda: _Seen(name, 0, event["firstTimestamp"]))
        seen.count += 1
        if seen.count == 1:
            return Verdict(event)
        event["metadata"]["name"] = seen.name
        event["firstTimestamp"] = seen.first
        event["count"] = seen.count
        patch = {name: event[name] for name in ("count", "lastTimestamp", "message")}
        return Verdict(event, patch)


def _about(event: Obj) -> Hashable:
    involved, source = event["involvedObject"], event["source"]
    fields = ("kind", "namespace", "name", "uid", "apiVersion", "fieldPath")
    return (source.get("component"), source.get("host"), *(involved.get(name) for name in fields))
