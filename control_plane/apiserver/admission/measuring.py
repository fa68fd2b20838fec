"""How long admission takes: each plugin, and each of its two steps as a whole."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter

from control_plane.apiserver.admission.interface import AdmissionRequest
from control_plane.apiserver.series import Histograms

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


async def measured(kind: str, plugins: Sequence[tuple[str, Run]], request: AdmissionRequest) -> None:
    """Run the plugins one after another; the first that raises ends it."""
    operation = str(request.operation)
    began = since = perf_counter()
    name, rejected = "", "true"
    try:
        for name, run in plugins:
            await run(request)
            now = perf_counter()
            PLUGINS.observe((name, kind, operation, "false"), now - since)
            since = now
        rejected = "false"
    finally:
        now = perf_counter()
        if rejected == "true":
            PLUGINS.observe((name, kind, operation, rejected), now - since)
        STEPS.observe((kind, operation, rejected), now - began)
