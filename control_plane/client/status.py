"""From a response that says no to the StatusError that it stands for.

A server answers with a Status object; a proxy, or a server too broken to do so, with anything. Then the
reason is made up from the HTTP code, as client-go does (NewGenericServerResponse).
"""

from __future__ import annotations

from typing import Any

import orjson

from control_plane.api.errors import StatusError
from control_plane.client.types import Response

MAX_BODY_IN_MESSAGE = 2048

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    410: "Gone",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


def status_error(response: Response) -> StatusError:
    body = _decoded(response.body)
    if isinstance(body, dict) and body.get("kind") == "Status":
        return StatusError.from_status(body, response.status)
    text = response.body[:MAX_BODY_IN_MESSAGE].decode(errors="replace").strip()
    reason = _REASONS.get(response.status, "InternalError" if response.status >= 500 else "Unknown")
    message = text or f"the server responded with the status code {response.status} and no message"
    return StatusError(response.status, reason, message)


def _decoded(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
