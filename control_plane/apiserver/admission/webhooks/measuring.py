"""How long webhooks take, how often they refuse, and how often they cannot be asked."""

from __future__ import annotations

from collections.abc import Awaitable
from time import perf_counter

from control_plane.apiserver.admission.interface import AdmissionRequest
from control_plane.apiserver.admission.webhooks.errors import CallFailed
from control_plane.apiserver.admission.webhooks.review import Answer
from control_plane.apiserver.series import Counts, Histograms
from control_plane.apiserver.tracing.context import child

_PREFIX = "apiserver_admission_webhook_"
_WEBHOOK = ("name", "type", "operation")
_BOUNDS_S = (0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 25)

DURATIONS = Histograms(
    _PREFIX + "admission_duration_seconds", "Time of a call.", (*_WEBHOOK, "rejected"), _BOUNDS_S
)
REQUESTS = Counts(_PREFIX + "request", "Calls, by what came back.", (*_WEBHOOK, "code", "rejected"))
REJECTIONS = Counts(
    _PREFIX + "rejection_count", "Refusals and failures.", (*_WEBHOOK, "error_type", "rejection_code")
)

FAIL_OPEN = Counts(
    _PREFIX + "fail_open_count", "Requests let through as a webhook could not be asked.", ("name", "type")
)


async def measured(name: str, request: AdmissionRequest, mutating: bool, call: Awaitable[Answer]) -> Answer:
    """Await the call."""
    labels = (name, "admit" if mutating else "validating", str(request.operation))
    began = perf_counter()
    try:
        with child("Call webhook", {"webhook": name, "type": labels[1], "operation": labels[2]}):
            answer = await call
    except CallFailed:
        DURATIONS.observe((*labels, "true"), perf_counter() - began)
        REQUESTS.add((*labels, "0", "true"))
        REJECTIONS.add((*labels, "calling_webhook_error", "0"))
        raise
    rejected = str(not answer.allowed).lower()
    DURATIONS.observe((*labels, rejected), perf_counter() - began)
    REQUESTS.add((*labels, "200", rejected))
    if not answer.allowed:
        code = str((answer.result or {}).get("code") or 400)
        REJECTIONS.add((*labels, "no_error", code))
    return answer
