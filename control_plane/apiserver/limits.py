"""How many requests may be under way at once: a bound for reads and one for writes, as kube-apiserver's flags.

Priority and fairness will divide these seats; until then who comes too late is told to come again in a second.
Long-running requests and the administrators' group take no seat.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from control_plane.api import errors
from control_plane.apiserver import metrics
from control_plane.apiserver.authn.user import PRIVILEGED_GROUP, UserInfo
from control_plane.apiserver.routes import RequestInfo

MAX_READS_IN_FLIGHT = 400
MAX_WRITES_IN_FLIGHT = 200
_READ_VERBS = frozenset({"get", "list", "watch"})


class Limits:
    def __init__(self, max_reads: int = MAX_READS_IN_FLIGHT, max_writes: int = MAX_WRITES_IN_FLIGHT) -> None:
        self._free = {"readOnly": max_reads, "mutating": max_writes}

    @contextmanager
    def admit(self, user: UserInfo, info: RequestInfo) -> Iterator[None]:
        """Raises StatusError TooManyRequests."""
        if info.is_long_running or PRIVILEGED_GROUP in user.groups or not info.is_resource:
            yield
            return
        kind = "readOnly" if info.verb in _READ_VERBS else "mutating"
        if self._free[kind] <= 0:
            raise errors.too_many_requests()
        self._free[kind] -= 1
        metrics.IN_FLIGHT[kind].inc()
        try:
            yield
        finally:
            self._free[kind] += 1
            metrics.IN_FLIGHT[kind].dec()
