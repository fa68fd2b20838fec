"""The loop of every controller: take a key, reconcile it, and decide from the outcome when it comes back.

The reconciler gets a key, never an event; it reads its informers and acts idempotently. It returns None
when the world is as it should be, or the seconds after which to look again. An exception brings the key
back with backoff: conflicts and broken connections are everyday life and logged quietly, anything else with
its traceback.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import TypeVar

from control_plane.api.errors import is_already_exists, is_conflict, is_not_found
from control_plane.client.errors import ConnectionFailed, ShutDown
from control_plane.client.workqueue import WorkQueue
from store.component import logs

K = TypeVar("K", bound=Hashable)
Reconcile = Callable[[K], Awaitable[float | None]]

log = logs.get("workers")


async def run_workers(queue: WorkQueue[K], reconcile: Reconcile[K], workers: int, name: str = "") -> None:
    """Until the queue is shut down and drained. Cancelled, it stops between two awaits of the reconciler."""
    async with asyncio.TaskGroup() as group:
        for number in range(workers):
            group.create_task(_worker(queue, reconcile, name), name=f"{name} worker {number}")


async def _worker(queue: WorkQueue[K], reconcile: Reconcile[K], name: str) -> None:
    while True:
        try:
            key = await queue.get()
        except ShutDown:
            return
        try:
            again_s = await reconcile(key)
        except Exception as error:
            _report(name, key, error)
            queue.add_rate_limited(key)
        else:
            queue.forget(key)
            if again_s is not None:
                queue.add_after(key, again_s)
        finally:
            queue.done(key)


def _report(name: str, key: object, error: Exception) -> None:
    expected = isinstance(error, ConnectionFailed) or is_conflict(error)
    if expected or is_not_found(error) or is_already_exists(error):
        log.debug("will try again", controller=name, key=str(key), error=str(error))
    else:
        log.exception("reconcile failed", controller=name, key=str(key))
