"""`/debug/api_priority_and_fairness/dump_*`: levels, queues and requests as tables of comma-separated columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from control_plane.api import errors, meta
from control_plane.apiserver.flowcontrol.fairness import Fairness, Seat, Waiting
from control_plane.apiserver.flowcontrol.levels import Level
from control_plane.apiserver.flowcontrol.queueset import Queue, Ticket
from control_plane.apiserver.messages import TEXT, Request, Response

PREFIX = "/debug/api_priority_and_fairness/"
MAX_IDLE_QUEUES = 1024

_LEVELS = (
    "PriorityLevelName, ActiveQueues, IsIdle, IsQuiescing, WaitingRequests, ExecutingRequests, "
    "DispatchedRequests, RejectedRequests, TimedoutRequests, CancelledRequests"
)
_QUEUES = (
    "PriorityLevelName, Index, PendingRequests, ExecutingRequests, SeatsInUse, NextDispatchR, "
    "InitialSeatsSum, MaxSeatsSum, TotalWorkSum"
)
_REQUESTS = (
    "PriorityLevelName, FlowSchemaName, QueueIndex, RequestIndexInQueue, FlowDistingsher, ArriveTime, "
    "InitialSeats, FinalSeats, AdditionalLatency, StartTime"
)
_DETAILS = "UserName, Verb, APIPath, Namespace, Name, APIVersion, Resource, SubResource"


class Dumps:
    def __init__(self, fairness: Fairness, since_epoch_s: float) -> None:
        self._fairness = fairness
        self._since_epoch_s = since_epoch_s  # when the queues' clock showed zero

    def serve(self, request: Request) -> Response:
        """Raises StatusError NotFound."""
        rows: Sequence[Sequence[Any]]
        match request.path.removeprefix(PREFIX):
            case "dump_priority_levels":
                rows = [_LEVELS.split(", "), *map(_level, self._levels())]
            case "dump_queues":
                rows = [_QUEUES.split(", "), *(row for each in self._levels() for row in _queues(each))]
            case "dump_requests":
                detailed = bool(request.first("includeRequestDetails"))
                head = _REQUESTS + (f", {_DETAILS}" if detailed else "")
                rows = [head.split(", "), *self._requests(detailed)]
            case _:
                raise errors.path_not_found()
        return Response(200, _table(rows).encode(), TEXT)

    def _levels(self) -> list[Level]:
        return sorted(self._fairness.levels.by_name.values(), key=lambda level: level.name)

    def _requests(self, detailed: bool) -> Iterator[Sequence[Any]]:
        for level in self._levels():
            for index, queue in sorted(level.queues.queues.items()):
                for place, ticket in enumerate(queue.waiting):
                    yield self._request(level, ticket, index, place, detailed)
            for ticket in level.queues.executing:
                index = ticket.queue.index if ticket.queue is not None else -1
                yield self._request(level, ticket, index, -1, detailed)

    def _request(self, level: Level, ticket: Ticket, queue: int, place: int, detailed: bool) -> Sequence[Any]:
        about: Waiting | Seat = ticket.owner
        times = [self._time(ticket.arrived_s), self._time(ticket.started_s)]
        row = [
            *(level.name, ticket.tally.schema, queue, place, about.distinguisher),
            *(times[0], ticket.seats_initial, ticket.final_seats, f"{ticket.linger_s:g}s", times[1]),
        ]
        if detailed:
            info = about.info
            version = meta.api_version(info.group, info.version)
            row += [about.user.name, info.verb, info.path, info.namespace, info.name]
            row += [version, info.resource, info.subresource]
        return row

    def _time(self, clock_s: float) -> str:
        return meta.rfc3339(self._since_epoch_s + clock_s) if clock_s else ""


def _level(level: Level) -> Sequence[Any]:
    queues = level.queues
    active = sum(1 for queue in queues.queues.values() if queue.waiting)
    states = [queues.is_idle, level.quiescing]
    return [
        *(level.name, active, *(str(each).lower() for each in states), queues.waiting, len(queues.executing)),
        *(queues.dispatched, queues.rejected, queues.timed_out, queues.cancelled),
    ]


def _queues(level: Level) -> Iterator[Sequence[Any]]:
    """Of those that are idle, the first MAX_IDLE_QUEUES."""
    known = level.queues.queues
    idle = range(min(level.queue_count, MAX_IDLE_QUEUES))
    for index in sorted({*idle, *known}):
        queue = known.get(index) or Queue(index)
        initial = sum(ticket.seats_initial for ticket in queue.waiting)
        most = sum(ticket.seats for ticket in queue.waiting)
        due, work = f"{queue.next_r:.8f}ss", f"{queue.waiting_work:.8f}ss"
        yield [level.name, index, len(queue.waiting), queue.executing, queue.seats, due, initial, most, work]


def _table(rows: Sequence[Sequence[Any]]) -> str:
    """Columns of equal width, each ended by a comma, as Go's tabwriter pads them."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths: list[int] = []
    for row in texts:
        widths += [0] * (len(row) - 1 - len(widths))
        for column, cell in enumerate(row[:-1]):
            widths[column] = max(widths[column], len(cell) + 2)
    padded = (
        "".join(f"{cell},".ljust(widths[column]) for column, cell in enumerate(row[:-1])) + row[-1]
        for row in texts
    )
    return "\n".join(padded) + "\n"
