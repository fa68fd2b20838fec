"""Making many objects at once, gently: one, then two, then four …, so that a namespace without quota costs one
refused request and not five hundred."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

BURST = 500  # at most so many in one reconcile, as kube-controller-manager
CONCURRENCY = 64


async def slow_start(
    count: int, create: Callable[[int], Awaitable[object]]
) -> tuple[int, BaseException | None]:
    """Call `create(0)` … in growing batches until one fails; how many went well, and the first failure."""
    done, size = 0, 1
    while done < count:
        batch = min(size, count - done, CONCURRENCY)
        results = await asyncio.gather(
            *(create(done + each) for each in range(batch)), return_exceptions=True
        )
        failures = [result for result in results if isinstance(result, BaseException)]
        if failures:
            return done + batch - len(failures), failures[0]
        done += batch
        size *= 2
    return done, None
