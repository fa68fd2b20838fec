"""How many requests may be under way at once.

`Limits` is what there is with `--enable-priority-and-fairness=false`: one bound for reads and one for writes; who
comes too late is told to come again in a second. Long-running requests and the administrators' group take no seat.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import Protocol

from control_plane.api import errors
from control_plane.apiserver import metrics
from control_plane.apiserver.authn.user import PRIVILEGED_GROUP, UserInfo
from control_plane.apiserver.messages import Request
from control_plane.apiserver.routes import RequestInfo

MAX_READS_IN_FLIGHT = 400
MAX_WRITES_IN_FLIGHT = 200
_READ_VERBS = frozenset({"get", "list", "watch"})


class Admitted(ABC):
    """A request that was let in."""

    __slots__ = ()

    @abstractmethod
    def begun(self) -> None:
        """A watch has sent what it begins with."""

    @abstractmethod
    def release(self) -> None:
        """It has ended."""


class Limiter(Protocol):
    async def admit(self, request: Request, info: RequestInfo, user: UserInfo) -> Admitted | None:
        """None for what is not limited. Raises StatusError TooManyRequests."""


class InFlight:
    """How many reads and writes are under way; looked at when metrics are read."""

    def __init__(self) -> None:
        self.count = {"readOnly": 0, "mutating": 0}
        for kind, gauge in metrics.IN_FLIGHT.items():
            gauge.set_function(partial(self.count.__getitem__, kind))

    def enter(self, info: RequestInfo) -> str:
        kind = "readOnly" if info.verb in _READ_VERBS else "mutating"
        self.count[kind] += 1
        return kind

    def leave(self, kind: str) -> None:
        self.count[kind] -= 1


class Limits:
    def __init__(
        self,
        in_flight: InFlight,
        max_reads: int = MAX_READS_IN_FLIGHT,
        max_writes: int = MAX_WRITES_IN_FLIGHT,
    ) -> None:
        self._most = {"readOnly": max_reads, "mutating": max_writes}
        self._in_flight = in_flight

    async def admit(self, request: Request, info: RequestInfo, user: UserInfo) -> Admitted | None:
        if info.is_long_running or PRIVILEGED_GROUP in user.groups or not info.is_resource:
            return None
        kind = self._in_flight.enter(info)
        if self._in_flight.count[kind] > self._most[kind]:
            self._in_flight.leave(kind)
            raise errors.too_many_requests()
        return _Place(self._in_flight, kind)


class _Place(Admitted):
    __slots__ = ("_in_flight", "_kind")

    def __init__(self, in_flight: InFlight, kind: str) -> None:
        self._in_flight = in_flight
        self._kind = kind

    def begun(self) -> None:
        """Watches are not limited here."""

    def release(self) -> None:
        self._in_flight.leave(self._kind)
