"""The loop's side of a replica: its turns, one after another, driven by callbacks of the event loop.

    idle ─▶ step ─▶ apply ahead ─▶ sync ─▶ release ─▶ finish ─▶ idle, or the next turn
              └─────── nothing to sync ───────▲

The sync of a turn runs in the loop while the disk is fast (a thread would cost more than it takes) and in a thread
once it is slow, so that the loop goes on serving; the next turn waits for it either way. Between phases the loop
runs once where something was sent, for a socket's writes leave at the end of its round: a leader's entries before
its own sync, so that all disks work at the same time; answers likewise; acknowledgements before what is committed
is applied.

Who must touch the replica between turns asks `between`. An error in a turn (the disk failed, an invariant broke,
the state machine raised) is the last thing that happens here: `failed` is told, and ends the turns; nothing is
retried.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from store.component import logs
from store.raft.config import RaftConfig
from store.raft.interface import Stopped
from store.raft.replica import Replica

SLOW_SYNC_S = 0.004
"""A disk whose syncs take longer on average gets a thread."""
SYNC_AVERAGE_WEIGHT = 0.1
OUTLIER_S = 2 * SLOW_SYNC_S
"""A longer sync counts as one of this length, unless it outlasts a heartbeat interval: on a busy machine every disk
has its moments, and a thread makes the turns after them longer than they need be."""
TIMER_SLACK_S = 0.001

_log = logs.get("store.raft")

T = TypeVar("T")


class Turns:
    def __init__(
        self,
        replica: Replica,
        config: RaftConfig,
        clock: Callable[[], float],
        completed: Callable[[], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._replica = replica
        self._config = config
        self._clock = clock
        self._completed = completed
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._due = False
        self._busy = False  # from step to complete: a sync in a thread works on the log
        self._ended = False
        self._sync_average_s = 0.0
        self._syncing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._waiting: list[asyncio.Future[None]] = []

    def wake(self) -> None:
        """Something arrived: take a turn, soon."""
        if not self._due:
            self._due = True
            if not self._busy:
                self._loop.call_soon(self._begin)

    async def next(self) -> None:
        """Until a turn has ended; they come at least once in a heartbeat interval. Raises Stopped when there will
        be no more."""
        if self._ended:
            raise Stopped("the member is stopping")
        future = self._loop.create_future()
        self._waiting.append(future)
        await future

    async def between(self, work: Callable[[], T]) -> T:
        """Do this while no turn is under way. Raises Stopped when there will be no more."""
        while self._busy or self._ended:
            await self.next()
        return work()

    async def stop(self) -> None:
        """No further turn begins; the one under way ends first."""
        while self._busy and not self._ended:
            await self.next()
        self.end()
        if self._syncing is not None:
            await asyncio.gather(self._syncing, return_exceptions=True)

    def end(self) -> None:
        """Now, whatever is under way."""
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._tell()

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    # A turn

    def _begin(self) -> None:
        self._run(self._step)

    def _run(self, phase: Callable[[], None]) -> None:
        if self._ended:
            return
        try:
            phase()
        except Exception as error:
            self._fail(error)

    def _soon(self, phase: Callable[[], None]) -> None:
        """After what the loop has to do already; a socket's writes leave before."""
        self._loop.call_soon(self._run, phase)

    def _step(self) -> None:
        self._due, self._busy = False, True
        replica = self._replica
        replica.step()
        if not replica.must_sync:
            self._release()
        elif replica.sent_early:
            self._soon(self._apply_ahead)
        else:
            self._sync()

    def _apply_ahead(self) -> None:
        if self._replica.apply_ahead():
            self._soon(self._let_answers_leave)
        else:
            self._sync()

    def _let_answers_leave(self) -> None:
        """They have been written by now."""
        self._soon(self._sync)

    def _sync(self) -> None:
        if self._sync_average_s < SLOW_SYNC_S:
            began = time.monotonic()
            self._replica.sync()
            self._synced(time.monotonic() - began)
        else:
            self._syncing = self._loop.create_task(self._sync_aside())

    async def _sync_aside(self) -> None:
        """In a thread, with heartbeats meanwhile: a disk that is merely slow costs no election. They end early
        enough for the others to miss this leader soon after it gives up itself (see `_synced`)."""
        began = time.monotonic()
        try:
            sync = self._loop.run_in_executor(None, self._replica.sync)
            interval_s = self._config.heartbeat_interval_s
            for _ in range(int(self._config.election_timeout_s / 2 / interval_s)):
                done, _ = await asyncio.wait([sync], timeout=interval_s)
                if done:
                    break
                self._replica.heartbeat()
            await sync
            self._synced(time.monotonic() - began)
        except Exception as error:
            self._fail(error)

    def _synced(self, took_s: float) -> None:
        if self._ended:
            return
        counted_s = took_s if took_s > self._config.heartbeat_interval_s else min(took_s, OUTLIER_S)
        self._sync_average_s += (counted_s - self._sync_average_s) * SYNC_AVERAGE_WEIGHT
        if took_s > self._config.election_timeout_s:
            _log.warning("the disk is slow", sync_s=round(took_s, 3))
            self._replica.step_down()
        self._release()

    def _release(self) -> None:
        if self._replica.release() and self._replica.can_apply:
            self._soon(self._finish)
        else:
            self._finish()

    def _finish(self) -> None:
        replica = self._replica
        replica.finish()
        self._busy = False
        self._completed()
        if self._waiting:
            self._tell()
        if self._due:
            self._loop.call_soon(self._begin)
        elif replica.has_more:
            self.wake()
        else:
            self._set_timer()

    def _set_timer(self) -> None:
        """One that is set already may ring too early; then a turn with nothing to do sets the next."""
        at = self._replica.wake_at
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_later(max(at - self._clock(), 0.0) + TIMER_SLACK_S, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self.wake()

    def _fail(self, error: BaseException) -> None:
        if not self._ended:
            self._failed(error)
