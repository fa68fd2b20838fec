"""How long admission takes: each plugin, and each of its two steps as a whole.

A create passes thirty plugins, most of which look at the request and let it be; so one observation must cost no
more than a few additions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter

from control_plane.apiserver.admission.interface import AdmissionRequest, Operation
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


class Step:
    """The plugins of one step, in their order."""

    def __init__(self, kind: str, plugins: Sequence[tuple[str, Run]]) -> None:
        self._kind = kind
        self._plugins = tuple(plugins)
        self._measured: dict[Operation, list[tuple[Run, Buckets]]] = {}

    async def run(self, request: AdmissionRequest) -> None:
        """One after another; the first that raises ends it."""
        measured = self._measured.get(request.operation) or self._of(request.operation)
        began = since = perf_counter()
        done = 0
        try:
            for run, buckets in measured:
                await run(request)
                now = perf_counter()
                buckets.observe(now - since)
                since, done = now, done + 1
        finally:
            now, rejected = perf_counter(), "false"
            if done < len(measured):
                name, rejected = self._plugins[done][0], "true"
                PLUGINS.observe((name, self._kind, str(request.operation), rejected), now - since)
            STEPS.observe((self._kind, str(request.operation), rejected), now - began)

    def _of(self, operation: Operation) -> list[tuple[Run, Buckets]]:
        made = [(run, PLUGINS.of((name, self._kind, str(operation), "false"))) for name, run in self._plugins]
        self._measured[operation] = made
        return made
