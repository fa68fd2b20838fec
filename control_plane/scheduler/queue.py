"""Where pods wait to be scheduled. Pure; time is injected.

    active           to be tried, in the order of the queue sort plugin
    backoff          tried and failed; becomes active when its time comes (1 s, doubling with each attempt, to
                     10 s), or before, when something may have helped it and nothing else is to be tried
    unschedulable    nothing fits; waits for an event that one of the plugins that rejected it cares for
    gated            not allowed in by a PreEnqueue plugin

                 add                       pop
    (new) ----------------> active <--------------> in flight ----> bound
             | pre-enqueue    ^  ^                     |
             v                |  | backoff over        | failed
           gated              | backoff <------------- + ---------> unschedulable
             |    event       |  ^                                      |
             +----------------+--+------- event + hint, or 5 minutes ---+

An event that comes while a pod is in flight is remembered: what rejected the pod may just have gone away.
That memory is bounded; when it overflows, pods in flight are treated as if everything had happened.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from control_plane.client.clock import Clock
from control_plane.client.types import Obj
from control_plane.scheduler.framework.events import EVERYTHING, ClusterEvent, Interest
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.framework.status import Status

INITIAL_BACKOFF_S = 1.0
MAX_BACKOFF_S = 10.0
UNSCHEDULABLE_LIMIT_S = 300.0  # then it is tried again anyway: an event may not have been understood
MAX_REMEMBERED_EVENTS = 4096

ACTIVE, BACKOFF, UNSCHEDULABLE, GATED = "active", "backoff", "unschedulable", "gated"

PreEnqueue = Callable[[PodInfo], Status | None]
SortKey = Callable[[PodInfo, float], tuple[Any, ...]]
Interests = Mapping[str, Mapping[str, Sequence[Interest]]]  # by scheduler name, by plugin


@dataclass(slots=True, eq=False)
class QueuedPod:
    pod: PodInfo
    queued_at_s: float  # when it last entered the active queue's order
    first_seen_s: float
    attempts: int = 0
    failed_at_s: float = 0.0
    rejected_by: frozenset[str] = frozenset()
    pending_on: frozenset[str] = frozenset()
    where: str = ""
    ticket: int = 0  # of its entry in a heap; older entries are void


@dataclass(slots=True)
class _Happened:
    sequence: int
    event: ClusterEvent
    old: Obj | None
    new: Obj | None


@dataclass(slots=True)
class _Heap:
    entries: list[tuple[Any, int, QueuedPod]] = field(default_factory=list)

    def push(self, key: Any, pod: QueuedPod, ticket: int) -> None:
        pod.ticket = ticket
        heapq.heappush(self.entries, (key, ticket, pod))

    def peek(self, where: str) -> QueuedPod | None:
        while self.entries:
            _, ticket, pod = self.entries[0]
            if pod.ticket == ticket and pod.where == where:
                return pod
            heapq.heappop(self.entries)
        return None

    def pop(self) -> None:
        heapq.heappop(self.entries)


class SchedulingQueue:
    def __init__(
        self,
        clock: Clock,
        sort_key: SortKey,
        pre_enqueue: PreEnqueue,
        interests: Interests,
        initial_backoff_s: float = INITIAL_BACKOFF_S,
        max_backoff_s: float = MAX_BACKOFF_S,
        unschedulable_limit_s: float = UNSCHEDULABLE_LIMIT_S,
    ) -> None:
        self._clock = clock
        self._sort_key = sort_key
        self._pre_enqueue = pre_enqueue
        self._interests = interests
        self._initial_s = initial_backoff_s
        self._max_s = max_backoff_s
        self._limit_s = unschedulable_limit_s
        self._pods: dict[str, QueuedPod] = {}  # all that wait, by uid
        self._parked: dict[str, QueuedPod] = {}  # unschedulable or gated
        self._active = _Heap()
        self._backoff = _Heap()
        self._counts = dict.fromkeys((ACTIVE, BACKOFF, UNSCHEDULABLE, GATED), 0)
        self._tickets = itertools.count(1)
        self._in_flight: dict[str, int] = {}  # uid: sequence of events when it was taken
        self._events: deque[_Happened] = deque()
        self._sequence = 0
        self._overflowed_at = -1
        self._ready = asyncio.Event()

    def __len__(self) -> int:
        return len(self._pods)

    def count(self, where: str) -> int:
        return self._counts[where]

    def get(self, uid: str) -> QueuedPod | None:
        return self._pods.get(uid)

    # ---- pods come and go

    def add(self, pod: PodInfo) -> None:
        """A new pod, or one that is known under a new form."""
        if pod.uid in self._pods or pod.uid in self._in_flight:
            self.update(pod)
            return
        now_s = self._clock.monotonic()
        self._enter(QueuedPod(pod, now_s, now_s))

    def update(self, pod: PodInfo) -> None:
        """Changed by its owner. A change that may matter to scheduling is reason enough to try again."""
        queued = self._pods.get(pod.uid)
        if queued is None:
            if pod.uid not in self._in_flight:
                self.add(pod)
            return
        matters = _matters(queued.pod.pod, pod.pod)
        queued.pod = pod
        if queued.where == ACTIVE:
            self._move(queued, ACTIVE)
        elif queued.where in (UNSCHEDULABLE, GATED) and matters:
            self._revive(queued)

    def delete(self, uid: str) -> None:
        queued = self._pods.pop(uid, None)
        if queued is not None:
            self._leave(queued)
        self.done(uid)

    # ---- the scheduler takes and gives back

    def take(self) -> QueuedPod | None:
        """The next pod, now in flight, until `done`, `requeue` or `park`."""
        self.flush()
        if self._active.peek(ACTIVE) is None and (early := self._early()) is not None:
            self._backoff.pop()
            self._enter(early)
        queued = self._active.peek(ACTIVE)
        if queued is None:
            self._ready.clear()
            return None
        self._active.pop()
        self._leave(queued)
        del self._pods[queued.pod.uid]
        queued.attempts += 1
        self._in_flight[queued.pod.uid] = self._sequence
        return queued

    async def wait(self) -> None:
        """Until there may be something to take."""
        while self._active.peek(ACTIVE) is None and self._early() is None:
            self._ready.clear()
            delay_s = self._next_backoff_s()
            if delay_s is None:
                await self._ready.wait()
                continue
            timer = self._clock.call_later(delay_s, self._ready.set)
            try:
                await self._ready.wait()
            finally:
                timer.cancel()
            self.flush()

    def done(self, uid: str) -> None:
        """It is bound, or gone."""
        self._in_flight.pop(uid, None)
        self._trim()

    def park(self, queued: QueuedPod, rejected_by: Iterable[str], pending_on: Iterable[str] = ()) -> None:
        """Nothing fits. Waits for an event, unless a helpful one came meanwhile."""
        uid = queued.pod.uid
        since = self._in_flight.pop(uid, None)
        queued.failed_at_s = self._clock.monotonic()
        queued.rejected_by, queued.pending_on = frozenset(rejected_by), frozenset(pending_on)
        self._pods[uid] = queued
        if since is not None and self._helped_since(queued, since):
            self._revive(queued)
        else:
            self._move(queued, UNSCHEDULABLE)
        self._trim()

    def requeue(self, queued: QueuedPod) -> None:
        """Something went wrong: again after its backoff."""
        self._in_flight.pop(queued.pod.uid, None)
        queued.failed_at_s = self._clock.monotonic()
        queued.rejected_by = queued.pending_on = frozenset()
        self._pods[queued.pod.uid] = queued
        self._move(queued, BACKOFF)
        self._trim()

    # ---- events

    def happened(self, event: ClusterEvent, old: Obj | None = None, new: Obj | None = None) -> None:
        """Brings back the pods that it may help."""
        if self._in_flight:
            self._remember(event, old, new)
        if not self._parked:
            return
        interested: dict[tuple[str, frozenset[str]], bool] = {}
        for queued in list(self._parked.values()):
            group = (queued.pod.scheduler_name, queued.rejected_by)
            if group not in interested:
                interested[group] = any(True for _ in self._hints(queued, event))
            if interested[group] and self._helps(queued, event, old, new):
                self._revive(queued)

    def flush(self) -> None:
        """What has waited long enough moves on."""
        now_s = self._clock.monotonic()
        while (queued := self._backoff.peek(BACKOFF)) is not None and self._backoff_end_s(queued) <= now_s:
            self._backoff.pop()
            self._move(queued, ACTIVE)

    def flush_unschedulable(self) -> None:
        """To be called now and then: nobody waits for ever because a hint was wrong."""
        now_s = self._clock.monotonic()
        for queued in list(self._parked.values()):
            if queued.where == UNSCHEDULABLE and now_s - queued.failed_at_s > self._limit_s:
                self._revive(queued)

    def activate(self, uids: Iterable[str]) -> None:
        """At once, whatever they wait for (plugins ask for it)."""
        for uid in uids:
            queued = self._pods.get(uid)
            if queued is not None and queued.where != ACTIVE:
                self._enter(queued)

    # ---- inside

    def _early(self) -> QueuedPod | None:
        """The next in backoff, unless it is there because something went wrong."""
        queued = self._backoff.peek(BACKOFF)
        return queued if queued is not None and queued.rejected_by else None

    def _enter(self, queued: QueuedPod) -> None:
        status = self._pre_enqueue(queued.pod)
        self._pods[queued.pod.uid] = queued
        if status is not None:
            queued.rejected_by = frozenset((status.plugin,))
            self._move(queued, GATED)
        else:
            self._move(queued, ACTIVE)

    def _revive(self, queued: QueuedPod) -> None:
        if (
            queued.where != GATED
            and not queued.pending_on
            and self._backoff_end_s(queued) > self._clock.monotonic()
        ):
            self._move(queued, BACKOFF)
        else:
            self._enter(queued)

    def _move(self, queued: QueuedPod, where: str) -> None:
        self._leave(queued)
        queued.where = where
        self._counts[where] += 1
        if where == ACTIVE:
            queued.queued_at_s = self._clock.monotonic() if queued.attempts else queued.first_seen_s
            key = self._sort_key(queued.pod, queued.queued_at_s)
            self._active.push(key, queued, next(self._tickets))
            self._ready.set()
        elif where == BACKOFF:
            self._backoff.push(self._backoff_end_s(queued), queued, next(self._tickets))
            self._ready.set()  # the waiter sets its timer anew
        else:
            self._parked[queued.pod.uid] = queued

    def _leave(self, queued: QueuedPod) -> None:
        if queued.where:
            self._counts[queued.where] -= 1
            self._parked.pop(queued.pod.uid, None)
            queued.where = ""

    def _backoff_end_s(self, queued: QueuedPod) -> float:
        if queued.attempts == 0:
            return queued.failed_at_s
        return queued.failed_at_s + min(self._max_s, self._initial_s * 2.0 ** min(queued.attempts - 1, 64))

    def _next_backoff_s(self) -> float | None:
        queued = self._backoff.peek(BACKOFF)
        return None if queued is None else max(0.0, self._backoff_end_s(queued) - self._clock.monotonic())

    def _hints(self, queued: QueuedPod, event: ClusterEvent) -> Iterable[Interest]:
        """What the plugins that rejected it say about the event. A plugin without interests takes any."""
        if event is EVERYTHING or not queued.rejected_by:
            yield Interest(EVERYTHING)
            return
        of_profile = self._interests.get(queued.pod.scheduler_name, {})
        for plugin in queued.rejected_by:
            interests = of_profile.get(plugin) or (Interest(EVERYTHING),)
            yield from (each for each in interests if each.event.covers(event))

    def _helps(self, queued: QueuedPod, event: ClusterEvent, old: Obj | None, new: Obj | None) -> bool:
        return any(
            each.hint is None or each.hint(queued.pod, old, new) for each in self._hints(queued, event)
        )

    def _helped_since(self, queued: QueuedPod, sequence: int) -> bool:
        if self._overflowed_at > sequence:
            return True
        return any(
            self._helps(queued, each.event, each.old, each.new)
            for each in self._events
            if each.sequence > sequence
        )

    def _remember(self, event: ClusterEvent, old: Obj | None, new: Obj | None) -> None:
        self._sequence += 1
        self._events.append(_Happened(self._sequence, event, old, new))
        if len(self._events) > MAX_REMEMBERED_EVENTS:
            self._overflowed_at = self._events.popleft().sequence

    def _trim(self) -> None:
        """Forget what happened before the first of those in flight was taken."""
        oldest = next(iter(self._in_flight.values()), self._sequence)
        while self._events and self._events[0].sequence <= oldest:
            self._events.popleft()


def _matters(old: Obj, new: Obj) -> bool:
    """Bookkeeping does not, nor status, but for the names of the claims that were made for it."""
    if old.get("spec") != new.get("spec"):
        return True
    if _claim_names(old) != _claim_names(new):
        return True
    before, after = old["metadata"], new["metadata"]
    return any(before.get(name) != after.get(name) for name in ("labels", "annotations", "deletionTimestamp"))


def _claim_names(pod: Obj) -> object:
    return (pod.get("status") or {}).get("resourceClaimStatuses")
