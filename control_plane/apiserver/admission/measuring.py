"""How long admission takes: each plugin, and each of its two steps as a whole.

There are thirty plugins. Those that say which kinds they concern are asked about no others; most of the rest look
at the request and let it be, so one observation must cost no more than a few additions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter

from control_plane.apiserver.admission.interface import AdmissionRequest, Kind, Operation
from control_plane.apiserver.series import Buckets, Histograms

Run = Callable[[AdmissionRequest], Awaitable[None]]

ADMIT, VALIDATE = "admit", "validate"
_BOUNDS_S = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5)

PLUGINS = Histograms(
    "apiserver_admission_controller_admission_duration_seconds",
    "Time of an admission plugin.",
    ("name", "type", "operation", "rejected"),
    _BOUNDS_S,
)
STEPS = Histograms(
    "apiserver_admission_step_admission_duration_seconds",
    "Time of all plugins of a step.",
    ("type", "operation", "rejected"),
    _BOUNDS_S,
)


_Measured = tuple[str, Run, Buckets]


class Step:
    """The plugins of one step, in their order."""

    def __init__(self, kind: str, plugins: Sequence[tuple[str, Run, frozenset[Kind] | None]]) -> None:
        """Each by its name, what it does, and the kinds that it concerns (None: all)."""
        self._kind = kind
        self._plugins = tuple(plugins)
        self._named = frozenset[Kind]().union(*(kinds for _, _, kinds in plugins if kinds is not None))
        self._measured: dict[tuple[Operation, Kind | None], list[_Measured]] = {}

    async def run(self, request: AdmissionRequest) -> None:
        """One after another; the first that raises ends it."""
        asked = (request.group, request.resource)
        key = (request.operation, asked if asked in self._named else None)
        measured = self._measured.get(key)
        if measured is None:
            measured = self._measured[key] = self._of(*key)
        began = since = perf_counter()
        done = 0
        try:
            for _, run, buckets in measured:
                await run(request)
                now = perf_counter()
                buckets.observe(now - since)
                since, done = now, done + 1
        finally:
            now, rejected = perf_counter(), "false"
            if done < len(measured):
                name, rejected = measured[done][0], "true"
                PLUGINS.observe((name, self._kind, str(request.operation), rejected), now - since)
            STEPS.observe((self._kind, str(request.operation), rejected), now - began)

    def _of(self, operation: Operation, asked: Kind | None) -> list[_Measured]:
        """`asked`: None for a kind that no plugin names."""
        return [
            (name, run, PLUGINS.of((name, self._kind, str(operation), "false")))
            for name, run, kinds in self._plugins
            if kinds is None or asked in kinds
        ]
