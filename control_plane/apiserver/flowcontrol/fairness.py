"""Lets requests in, one `admit` each: classifies, finds a seat or a place in a queue, or says when to come again.

The configuration is looked at again when a revision of the two caches has moved, so that a schema counts from the
moment this server knows it. What a request comes to (schema, level, hand of queues) is remembered for the next like
it; on the way of an ordinary request there is one look-up, and a few additions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from control_plane.api import errors
from control_plane.api import flowcontrol as bootstrap
from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.flowcontrol.estimate import Estimator, Sizes, Watches
from control_plane.apiserver.flowcontrol.levels import Level, Levels
from control_plane.apiserver.flowcontrol.matching import Matches, distinguisher, matcher
from control_plane.apiserver.flowcontrol.queueset import State, Ticket
from control_plane.apiserver.flowcontrol.shuffle import deal, flow_hash
from control_plane.apiserver.flowcontrol.tallies import Tally
from control_plane.apiserver.limits import Admitted, InFlight
from control_plane.apiserver.messages import Request
from control_plane.apiserver.routes import RequestInfo
from control_plane.apiserver.watch_cache.cache import ResourceCache

MAX_WAIT_S = 15.0  # in a queue: a quarter of a request's time
MAX_REMEMBERED = 8192
MAX_TALLIES = 2048  # those of schemas that are gone are forgotten beyond it
SCHEMA_HEADER, LEVEL_HEADER = "X-Kubernetes-PF-FlowSchema-UID", "X-Kubernetes-PF-PriorityLevel-UID"

Object = dict[str, Any]


class _Schema(NamedTuple):
    object: Object
    name: str
    level: str
    matches: Matches


class _Flow(NamedTuple):
    """What a request comes to."""

    level: Level
    hand: tuple[int, ...]
    tally: Tally
    headers: dict[str, str]
    distinguisher: str


class Seat(Admitted):
    """A request that is being served. `release` may be called more than once."""

    __slots__ = ("_ends", "_fairness", "_kind", "_ticket", "distinguisher", "info", "level", "user")

    def __init__(
        self, fairness: Fairness, flow: _Flow, ticket: Ticket, info: RequestInfo, user: UserInfo
    ) -> None:
        self._fairness = fairness
        self._ticket: Ticket | None = ticket
        ticket.owner = self
        self._ends: Callable[[], None] | None = None
        self._kind = fairness.in_flight.enter(info)
        self.level = flow.level
        self.distinguisher = flow.distinguisher
        self.info = info
        self.user = user
        if info.verb == "watch":
            self._ends = fairness.watches.add(info)

    def begun(self) -> None:
        """What a watch begins with has been sent: from here on it takes no seat."""
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            self._fairness.in_flight.leave(self._kind)
            self._fairness.finish(ticket, self.level)

    def release(self) -> None:
        self.begun()
        ends, self._ends = self._ends, None
        if ends is not None:
            ends()


class Fairness:
    """`schemas` and `levels` are the caches of the two resources."""

    def __init__(
        self,
        schemas: ResourceCache,
        levels: ResourceCache,
        sizes: Sizes,
        seats: int,
        clock: Callable[[], float],
        in_flight: InFlight,
    ) -> None:
        self.watches = Watches()
        self.in_flight = in_flight
        self.levels = Levels(seats)
        self.schemas: list[_Schema] = []
        self.tallies: dict[tuple[str, str], Tally] = {}
        self._schema_cache, self._level_cache = schemas, levels
        self._seen = (-1, -1)
        self._estimator = Estimator(sizes, self.watches)
        self._clock = clock
        self._known: dict[tuple[Any, ...], _Flow] = {}
        self._mandatory_levels = {each["metadata"]["name"]: each for each in bootstrap.mandatory_levels()}
        self._mandatory_schemas = bootstrap.mandatory_schemas()
        self.refresh()

    async def admit(self, request: Request, info: RequestInfo, user: UserInfo) -> Admitted | None:
        """None for what takes no seat. Raises StatusError TooManyRequests."""
        if info.is_long_running and info.verb != "watch":
            return None
        if self._schema_cache.changed_at != self._seen[0] or self._level_cache.changed_at != self._seen[1]:
            self.refresh()
        flow = self._flow(info, user)
        request.answer_headers.update(flow.headers)
        level = flow.level
        ticket = Ticket(flow.tally, *self._estimator.work(request, info, level.max_seats))
        now_s = self._clock()
        state = level.queues.start(ticket, flow.hand, now_s)
        if state is State.WAITING:
            await self._wait(ticket, level, info, flow, user)
            request.waited_s = self._clock() - now_s
        elif state is State.REJECTED:
            raise self._refusal(level)
        return Seat(self, flow, ticket, info, user)

    def finish(self, ticket: Ticket, level: Level) -> None:
        wake(level.queues.finish(ticket, self._clock()))
        if ticket.linger_s > 0:
            asyncio.get_running_loop().call_later(ticket.linger_s, self._release, ticket, level)

    def refresh(self) -> None:
        """Take over the configuration as it is in the caches."""
        self._seen = self._schema_cache.changed_at, self._level_cache.changed_at
        now_s = self._clock()
        wake(self.levels.digest(self._level_cache.objects(), self._mandatory_levels, now_s))
        objects = {each["metadata"]["name"]: each for each in self._mandatory_schemas}
        objects |= {
            each["metadata"]["name"]: each
            for each in self._schema_cache.objects()
            if (level := self.levels.by_name.get(level_of(each))) is not None and not level.quiescing
        }
        self.schemas = [
            _Schema(each, each["metadata"]["name"], level_of(each), matcher(each))
            for each in sorted(objects.values(), key=_precedence)
        ]
        self._known.clear()

    def rebalance(self) -> None:
        wake(self.levels.rebalance(self._clock()))
        self._known.clear()

    def _release(self, ticket: Ticket, level: Level) -> None:
        wake(level.queues.release(ticket, self._clock()))

    def _flow(self, info: RequestInfo, user: UserInfo) -> _Flow:
        about = info.path if not info.is_resource else (info.group, info.resource, info.subresource)
        key = (user.name, user.groups, info.verb, about, info.namespace)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            known = self._known[key] = self._classify(info, user)
        return known

    def _classify(self, info: RequestInfo, user: UserInfo) -> _Flow:
        schema = next((each for each in self.schemas if each.matches(user, info)), None)
        if schema is None:  # a user in neither of the groups of everyone
            schema = next(each for each in self.schemas if each.name == bootstrap.CATCH_ALL)
        level = self.levels.by_name[schema.level]
        flow = distinguisher(schema.object, user, info)
        hand: Sequence[int] = ()
        if level.hand_size:
            hand = deal(flow_hash(schema.name, flow), level.queue_count, level.hand_size)
        names = (level.name, schema.name)
        tally = self.tallies.get(names)
        if tally is None:
            if len(self.tallies) >= MAX_TALLIES:
                self._prune()
            tally = self.tallies[names] = Tally(schema.name, level.name)
        headers = {SCHEMA_HEADER: schema.object["metadata"].get("uid", ""), LEVEL_HEADER: level.uid}
        return _Flow(level, tuple(hand), tally, headers, flow)

    def _prune(self) -> None:
        """Forget what was counted of schemas that are gone."""
        present = {(each.level, each.name) for each in self.schemas}
        self.tallies = {
            names: tally
            for names, tally in self.tallies.items()
            if names in present or tally.executing_seats or tally.waiting
        }

    async def _wait(
        self, ticket: Ticket, level: Level, info: RequestInfo, flow: _Flow, user: UserInfo
    ) -> None:
        """Until it is served. Raises StatusError when that takes too long."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        ticket.owner = Waiting(future, info, user, flow.distinguisher)
        timed_out = False
        try:
            async with asyncio.timeout(MAX_WAIT_S):
                await future
        except TimeoutError:
            timed_out = True
        except asyncio.CancelledError:  # the client went away
            self._abandon(ticket, level, timed_out=False)
            raise
        if timed_out and ticket.state is State.WAITING:
            self._abandon(ticket, level, timed_out=True)
            raise self._refusal(level)

    def _abandon(self, ticket: Ticket, level: Level, *, timed_out: bool) -> None:
        if ticket.state is State.EXECUTING:  # it was served in the very moment
            self.finish(ticket, level)
            return
        wake(level.queues.cancel(ticket, self._clock(), timed_out=timed_out))

    def _refusal(self, level: Level) -> errors.StatusError:
        level.retry_after.note(self._clock())
        return errors.too_many_requests(retry_after_s=level.retry_after.seconds)


class Waiting(NamedTuple):
    """Of a ticket in a queue: whom to wake, and what the debug pages say of it."""

    future: asyncio.Future[None]
    info: RequestInfo
    user: UserInfo
    distinguisher: str


def wake(tickets: Sequence[Ticket]) -> None:
    for ticket in tickets:
        if not ticket.owner.future.done():
            ticket.owner.future.set_result(None)


def level_of(schema: Mapping[str, Any]) -> str:
    return str((schema["spec"].get("priorityLevelConfiguration") or {}).get("name", ""))


def _precedence(schema: Object) -> tuple[int, str]:
    return int(schema["spec"].get("matchingPrecedence") or 0), schema["metadata"]["name"]
