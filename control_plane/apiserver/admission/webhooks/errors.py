"""What can go wrong with a webhook.

    WebhookError
    └── CallFailed     it could not be asked, or its answer is none: failurePolicy decides

A refusal is no error of the webhook's: it becomes a StatusError (`denied`), whatever the failurePolicy.
"""

from __future__ import annotations

from typing import Any

from control_plane.api import errors
from control_plane.api.errors import StatusError, quote


class WebhookError(Exception):
    """Root of this package's errors."""


class CallFailed(WebhookError):
    def __init__(self, webhook: str, reason: str) -> None:
        super().__init__(f"failed calling webhook {quote(webhook)}: {reason}")

    def status(self) -> StatusError:
        return errors.internal(str(self))


def denied(webhook: str, result: dict[str, Any] | None) -> StatusError:
    """The webhook's own Status with its name before the message; never a code below 400."""
    result = result or {}
    code = result.get("code") or 0
    message = f"admission webhook {quote(webhook)} denied the request"
    explanation = result.get("message") or result.get("reason")
    message += f": {explanation}" if explanation else " without explanation"
    return StatusError(
        code if isinstance(code, int) and 400 <= code <= 599 else 400,
        str(result.get("reason") or ""),
        message,
        result.get("details") or None,
    )


def no_dry_run(webhook: str) -> StatusError:
    return errors.bad_request(f"admission webhook {quote(webhook)} does not support dry run")
