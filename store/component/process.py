"""The shell of every process: flags, logs, the event loop, signals.

`run` is called in a freshly forked or executed process and returns its exit status:
0 after a clean stop, 1 when `main` failed (the reason is the last log line), 2 for bad flags.
SIGTERM and SIGINT set `lifecycle.stopping`; `main` then has the grace period to return, after which it is
cancelled. A second signal ends the process at once.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field

import uvloop

from store.component import logs
from store.component.flags import Parser

GRACE_PERIOD_S = 20.0
EXIT_FORCED = 130
# Objects of the API are many small dicts without cycles: looking for cycles after every 700 of them, as is the
# default, takes most of the time of decoding a long list.
COLLECT_AFTER = (10_000, 20, 50)


class FatalError(Exception):
    """The process cannot go on; the text says why and what to do. Logged as one line, without a traceback."""


@dataclass(slots=True)
class Lifecycle:
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def until_stopped(self, *tasks: asyncio.Task[None]) -> None:
        """Wait for the signal to stop; a task that ends or fails before it ends the wait with its error."""
        waiter = asyncio.create_task(self.stopping.wait())
        try:
            await asyncio.wait([waiter, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            waiter.cancel()


Main = Callable[[argparse.Namespace, Lifecycle], Coroutine[None, None, None]]


def run(component: str, parser: Parser, argv: Sequence[str], main: Main) -> int:
    args = parser.parse(argv)
    logs.setup(args.v, args.log_format)
    log = logs.get(component)
    gc.set_threshold(*COLLECT_AFTER)
    try:
        uvloop.run(_supervised(args, main))
    except FatalError as error:
        log.error("cannot go on", reason=error)
        return 1
    except Exception:
        log.exception("failed")
        return 1
    log.info("stopped")
    return 0


async def _supervised(args: argparse.Namespace, main: Main) -> None:
    lifecycle = Lifecycle()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if lifecycle.stopping.is_set():
            os._exit(EXIT_FORCED)
        lifecycle.stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    task = asyncio.create_task(main(args, lifecycle))
    waiter = asyncio.create_task(lifecycle.stopping.wait())
    await asyncio.wait([task, waiter], return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
        await asyncio.wait({task}, timeout=GRACE_PERIOD_S)
    waiter.cancel()
    if not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=1.0)
        raise FatalError(f"did not stop within {GRACE_PERIOD_S:.0f} s")
    task.result()
