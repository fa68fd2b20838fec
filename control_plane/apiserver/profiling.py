"""`/debug/pprof/*` behind `--profiling`, in Python's terms.

    profile?seconds=30     cProfile of the event loop's thread for so long, as pstats prints it; sort=tottime;
                           clock=cpu: of the processor's time alone, without what others had of it
    goroutine              what each task of the event loop is waiting for
    heap                   how many objects there are, and of which types
    cmdline                how the process was started

The shapes are Python's and not pprof's: `go tool pprof` does not read them.
"""

from __future__ import annotations

import asyncio
import cProfile
import gc
import io
import pstats
import sys
import time
from collections import Counter

from control_plane.api import errors
from control_plane.apiserver.messages import TEXT, Request, Response

PREFIX = "/debug/pprof"
DEFAULT_PROFILE_S, MAX_PROFILE_S = 30.0, 50.0  # within the time of a request
TOP = 100
_SORTS = ("cumulative", "tottime", "ncalls")
_CLOCKS = {"wall": time.perf_counter, "cpu": time.thread_time}


class Profiling:
    def __init__(self) -> None:
        self._busy = False

    async def serve(self, request: Request) -> Response:
        """Raises StatusError NotFound, BadRequest, TooManyRequests."""
        match request.path.removeprefix(PREFIX).strip("/"):
            case "":
                return _text("profile\ngoroutine\nheap\ncmdline\n")
            case "profile":
                return _text(await self._profile(request))
            case "goroutine":
                return _text(_tasks())
            case "heap":
                return _text(_heap())
            case "cmdline":
                return _text("\x00".join(sys.orig_argv))
        raise errors.path_not_found()

    async def _profile(self, request: Request) -> str:
        sort, clock = request.first("sort", "cumulative"), request.first("clock", "wall")
        try:
            seconds = float(request.first("seconds", str(DEFAULT_PROFILE_S)))
        except ValueError as error:
            raise errors.bad_request("seconds must be a number") from error
        if not 0 < seconds <= MAX_PROFILE_S or sort not in _SORTS or clock not in _CLOCKS:
            raise errors.bad_request(
                f"seconds must be up to {MAX_PROFILE_S:g}, sort one of {', '.join(_SORTS)}, "
                f"clock one of {', '.join(_CLOCKS)}"
            )
        if self._busy:
            raise errors.too_many_requests("a profile is being taken already")
        self._busy = True
        profile = cProfile.Profile(_CLOCKS[clock])
        try:
            profile.enable()
            await asyncio.sleep(seconds)
        finally:
            profile.disable()
            self._busy = False
        output = io.StringIO()
        pstats.Stats(profile, stream=output).sort_stats(sort).print_stats(TOP)
        return output.getvalue()


def _tasks() -> str:
    output = io.StringIO()
    tasks = asyncio.all_tasks()
    output.write(f"{len(tasks)} tasks\n\n")
    for task in tasks:
        task.print_stack(limit=4, file=output)
        output.write("\n")
    return output.getvalue()


def _heap() -> str:
    counted = Counter(type(each).__qualname__ for each in gc.get_objects())
    lines = [f"{count:>10}  {name}" for name, count in counted.most_common(TOP)]
    return f"{sum(counted.values())} objects known to the collector\n" + "\n".join(lines) + "\n"


def _text(body: str) -> Response:
    return Response(200, body.encode(), TEXT, {"X-Content-Type-Options": "nosniff"})
