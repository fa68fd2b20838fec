"""EventRateLimit (off by default): token buckets for events by server, namespace, user, or source and
object."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from control_plane.api import errors
from control_plane.apiserver.admission.interface import AdmissionRequest, Object, Operation
from control_plane.apiserver.admission.plugin import Dependencies, Plugin

DEFAULT_CACHE_SIZE = 4096


@dataclass(frozen=True, slots=True)
class Limit:
    type: str  # Server, Namespace, User, SourceAndObject
    qps: float
    burst: int
    cache_size: int = DEFAULT_CACHE_SIZE


DEFAULT_LIMITS = (Limit("Server", 5000, 20_000), Limit("Namespace", 50, 100), Limit("User", 10, 50))


class EventRateLimit(Plugin):
    name = "EventRateLimit"
    concerns = frozenset({("", "events"), ("events.k8s.io", "events")})

    def __init__(self, dependencies: Dependencies, limits: Sequence[Limit] = DEFAULT_LIMITS) -> None:
        self._clock = dependencies.clock
        self._buckets = [(limit, _Buckets(limit)) for limit in limits]

    async def validate(self, request: AdmissionRequest) -> None:
        if request.resource != "events" or request.dry_run:
            return
        if request.operation not in (Operation.CREATE, Operation.UPDATE):
            return
        now_s = self._clock()
        for limit, buckets in self._buckets:
            key = _KEYS[limit.type](request)
            if not buckets.take(key, now_s):
                raise errors.too_many_requests(f"limit reached on type {limit.type} for key {key}")


class _Buckets:
    """A bounded table of buckets; the one unused longest goes first, and starts full again."""

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now_s: float) -> bool:
        level, at_s = self._levels.pop(key, (float(self._limit.burst), now_s))
        level = min(self._limit.burst, level + (now_s - at_s) * self._limit.qps)
        allowed = level >= 1
        self._levels[key] = (level - 1 if allowed else level, now_s)
        if len(self._levels) > self._limit.cache_size:
            self._levels.popitem(last=False)
        return allowed


def _source_and_object(request: AdmissionRequest) -> str:
    event: Object = request.object or {}
    source = event.get("source") or {}
    about = event.get("involvedObject") or event.get("regarding") or {}
    fields = ("kind", "namespace", "name", "uid", "apiVersion")
    return "_".join(
        [source.get("component", ""), source.get("host", ""), *(about.get(f, "") for f in fields)]
    )


_KEYS: dict[str, Callable[[AdmissionRequest], str]] = {
    "Server": lambda request: "",
    "Namespace": lambda request: request.namespace,
    "User": lambda request: request.user.name,
    "SourceAndObject": _source_and_object,
}
