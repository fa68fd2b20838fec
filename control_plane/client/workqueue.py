"""The keyed queue between informers and reconcilers, with client-go's guarantees (util/workqueue/doc.go).

- Fair: keys come out in the order in which they went in.
- Stingy: a key is never processed by two workers at once, and one added many times before it is taken is
  taken once.
- Re-entrant: a key added while it is being processed is processed again afterwards, by whoever is free.
- Drained: after `shut_down` what waits is still handed out (delayed keys are not), then `get` raises
  ShutDown.

Delays and per-key exponential backoff wrap that. The size is bounded by the number of distinct keys: by the
objects that exist. Used within one event loop; time is injected.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from control_plane.client.clock import Clock, SystemClock, Timer
from control_plane.client.errors import ShutDown

BASE_DELAY_S = 0.005  # client-go's DefaultControllerRateLimiter
MAX_DELAY_S = 1000.0

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    def __init__(
        self,
        clock: Clock | None = None,
        base_delay_s: float = BASE_DELAY_S,
        max_delay_s: float = MAX_DELAY_S,
    ) -> None:
        self._clock = clock or SystemClock()
        self._base_delay_s = base_delay_s
        self._max_delay_s = max_delay_s
        self._order: deque[K] = deque()
        self._dirty: set[K] = (
            set()
        )  # to be processed: every key in _order, and those to come back after done()
        self._processing: set[K] = set()
        self._failures: dict[K, int] = {}
        self._delayed = _Delayed[K]()
        self._timer: Timer | None = None
        self._timer_at_s = 0.0
        self._getters: deque[asyncio.Future[None]] = deque()
        self._idle = asyncio.Event()
        self._idle.set()
        self._shut_down = False

    def __len__(self) -> int:
        """Keys ready to be taken."""
        return len(self._order)

    @property
    def shutting_down(self) -> bool:
        return self._shut_down

    # ---- in

    def add(self, key: K) -> None:
        if self._shut_down or key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._enqueue(key)

    def add_after(self, key: K, delay_s: float) -> None:
        """Add it then; of several delays of one key the shortest counts."""
        if self._shut_down:
            return
        if delay_s <= 0:
            self.add(key)
            return
        self._delayed.put(key, self._clock.monotonic() + delay_s)
        self._arm()

    def add_rate_limited(self, key: K) -> None:
        """Add it after a delay that doubles with each call, until `forget`."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self.add_after(key, min(self._max_delay_s, self._base_delay_s * 2.0 ** min(failures, 64)))

    def forget(self, key: K) -> None:
        """It went well: the next failure starts at the shortest delay again."""
        self._failures.pop(key, None)

    def num_requeues(self, key: K) -> int:
        return self._failures.get(key, 0)

    # ---- out

    async def get(self) -> K:
        """The next key, to be given back with `done`. Raises ShutDown when there will be none any more."""
        while not self._order:
            if self._shut_down:
                raise ShutDown
            await self._wait()
        key = self._order.popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        self._idle.clear()
        return key

    def done(self, key: K) -> None:
        self._processing.discard(key)
        if key in self._dirty:
            self._enqueue(key)
        elif not self._processing and not self._order:
            self._idle.set()

    def shut_down(self) -> None:
        """Takes nothing more; workers get what is ready, then ShutDown."""
        self._shut_down = True
        self._delayed.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for getter in self._getters:
            if not getter.done():
                getter.set_result(None)

    async def drained(self) -> None:
        """Nothing is waiting and nothing is being processed."""
        await self._idle.wait()

    # ---- inside

    def _enqueue(self, key: K) -> None:
        self._order.append(key)
        self._idle.clear()
        self._wake_one()

    def _wake_one(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    async def _wait(self) -> None:
        getter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._getters.append(getter)
        try:
            await getter
        except asyncio.CancelledError:
            if getter.done() and not getter.cancelled():
                self._wake_one()  # the wake-up was ours to pass on
            raise

    def _arm(self) -> None:
        """One timer, for the earliest delayed key."""
        earliest_s = self._delayed.earliest_s()
        if earliest_s is None:
            return
        if self._timer is not None:
            if self._timer_at_s <= earliest_s:
                return
            self._timer.cancel()
        self._timer_at_s = earliest_s
        self._timer = self._clock.call_later(max(0.0, earliest_s - self._clock.monotonic()), self._ring)

    def _ring(self) -> None:
        self._timer = None
        for key in self._delayed.take_due(self._clock.monotonic()):
            self.add(key)
        self._arm()


class _Delayed(Generic[K]):
    """Keys that wait for their moment: a heap whose outdated entries are skipped when they surface."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, K]] = []
        self._ready_at_s: dict[K, float] = {}
        self._sequence = itertools.count()

    def put(self, key: K, ready_at_s: float) -> None:
        known_s = self._ready_at_s.get(key)
        if known_s is not None and known_s <= ready_at_s:
            return
        self._ready_at_s[key] = ready_at_s
        heapq.heappush(self._heap, (ready_at_s, next(self._sequence), key))

    def earliest_s(self) -> float | None:
        while self._heap and self._ready_at_s.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take_due(self, now_s: float) -> list[K]:
        due: list[K] = []
        while (earliest_s := self.earliest_s()) is not None and earliest_s <= now_s:
            key = heapq.heappop(self._heap)[2]
            del self._ready_at_s[key]
            due.append(key)
        return due

    def clear(self) -> None:
        self._heap.clear()
        self._ready_at_s.clear()
