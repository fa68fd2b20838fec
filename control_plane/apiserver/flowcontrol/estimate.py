"""How many seats a request takes: a list by what it holds in memory, a write by the watches that it wakes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from control_plane.apiserver.messages import Request, parse_flag
from control_plane.apiserver.routes import RequestInfo

MAX_LIST_SEATS = 100
MAX_WRITE_SEATS = 10
BYTES_PER_SEAT = 100_000
MAX_LIMIT_DIGITS = 10
CACHED_LIST_MAX_BYTES = 1_000_000  # lists from the cache are written out piece by piece
WATCHES_PER_SEAT = 10.0
EVENT_S = 0.005  # what WATCHES_PER_SEAT watches are kept busy for by one write

_WRITES = frozenset({"create", "update", "patch", "delete"})

Sizes = Callable[[str, str], tuple[int, int]]
"""Group and resource to the number of objects and their average size in bytes."""


class Work(NamedTuple):
    seats: int = 1
    final_seats: int = 0
    linger_s: float = 0.0


ONE = Work()


class Watches:
    """How many watches there are on what; those of pods by a node's name wake for their own node only."""

    def __init__(self) -> None:
        self._count: dict[tuple[str, str, str, str], int] = {}

    def add(self, info: RequestInfo) -> Callable[[], None]:
        """Call what is returned when the watch has ended."""
        if (info.resource, info.group) == ("pods", "") and _names_node(info.field_selector):
            return _nothing
        key = (info.group, info.resource, info.namespace, info.name)
        self._count[key] = self._count.get(key, 0) + 1

        def end() -> None:
            left = self._count[key] - 1
            if left:
                self._count[key] = left
            else:
                del self._count[key]

        return end

    def interested(self, info: RequestInfo) -> int:
        """How many a write of this object wakes."""
        count, group, resource = self._count, info.group, info.resource
        if not count:
            return 0
        found = count.get((group, resource, "", ""), 0)
        if info.namespace:
            found += count.get((group, resource, info.namespace, ""), 0)
        if info.name:
            found += count.get((group, resource, info.namespace, info.name), 0)
        return found


def _names_node(selector: str) -> bool:
    return any(term.startswith("spec.nodeName=") and term[-1] != "=" for term in selector.split(","))


def _nothing() -> None:
    pass


class Estimator:
    def __init__(self, sizes: Sizes, watches: Watches) -> None:
        self._sizes = sizes
        self._watches = watches

    def work(self, request: Request, info: RequestInfo, max_seats: int) -> Work:
        """`max_seats` is the level's own bound (0: none)."""
        verb = info.verb
        if not info.is_resource or verb == "get":
            return ONE
        if verb in _WRITES:
            if info.subresource == "token":
                return ONE
            watches = self._watches.interested(info)
            return ONE if watches < WATCHES_PER_SEAT else write_work(watches, max_seats)
        if verb == "list" or (verb == "watch" and _begins_with_state(request)):
            objects, average_bytes = self._sizes(info.group, info.resource)
            if not objects:
                return ONE
            wanted = min(objects, _limit(request) or objects)
            from_store = verb == "list" and _from_store(request)
            return list_work(objects, 1 if info.name else wanted, average_bytes, from_store, info, max_seats)
        return ONE


def write_work(watches: int, max_seats: int) -> Work:
    seats = math.ceil(watches / WATCHES_PER_SEAT)
    allowed = min(seats, max_seats or MAX_WRITE_SEATS, MAX_WRITE_SEATS)
    return Work(1, allowed, seats * EVENT_S / allowed)


def list_work(
    objects: int, wanted: int, average_bytes: int, from_store: bool, info: RequestInfo, max_seats: int
) -> Work:
    selective = bool(info.field_selector or info.label_selector) and not info.name
    loaded = max(wanted, objects // 2) if from_store and selective else wanted
    size_bytes = loaded * average_bytes
    if not from_store:
        size_bytes = min(size_bytes, CACHED_LIST_MAX_BYTES)
    seats = math.ceil(size_bytes / BYTES_PER_SEAT)
    return Work(max(1, min(seats, max_seats or MAX_LIST_SEATS, MAX_LIST_SEATS)))


def _limit(request: Request) -> int:
    """0: none, or nothing that would be accepted as one."""
    given = request.first("limit")
    return int(given) if given.isascii() and given.isdigit() and len(given) < MAX_LIMIT_DIGITS else 0


def _begins_with_state(request: Request) -> bool:
    sends = request.first("sendInitialEvents")
    if sends and parse_flag(sends):
        return True
    return request.first("resourceVersion") in ("", "0")


def _from_store(request: Request) -> bool:
    """Pages after the first, and lists of an exact revision."""
    return bool(request.first("continue")) or request.first("resourceVersionMatch") == "Exact"
