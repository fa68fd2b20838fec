"""Continue tokens, as kube-apiserver writes them: the revision of the list, and the item to go on after.

Base64url (unpadded) of `{"v":"meta.k8s.io/v1","rv":<revision>,"start":"<item>\\u0000"}`. A revision of -1 asks
for the rest of the list as it is now (the inconsistent continuation that a 410 offers).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

import orjson

from control_plane.api.errors import StatusError, bad_request

_VERSION = "meta.k8s.io/v1"
INCONSISTENT = -1

_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list "
    "without the continue parameter, or use the continue token in this response to retrieve the remainder of "
    "the results. Continuing with the provided token results in an inconsistent list - objects that were "
    "created, modified, or deleted between the time the first chunk was returned and now may show up in the "
    "list."
)


@dataclass(frozen=True, slots=True)
class Continuation:
    revision: int
    start: str  # the first item that may be listed

    def encode(self) -> str:
        token = {"v": _VERSION, "rv": self.revision, "start": self.start}
        return base64.urlsafe_b64encode(orjson.dumps(token)).rstrip(b"=").decode()


def after(revision: int, last_item: str) -> Continuation:
    return Continuation(revision, last_item + "\x00")


def parse(token: str) -> Continuation:
    """Raises StatusError BadRequest."""
    try:
        padded = token.rstrip("=") + "=" * (-len(token.rstrip("=")) % 4)
        fields = orjson.loads(base64.urlsafe_b64decode(padded))
        version, revision, start = fields["v"], fields["rv"], fields["start"]
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise bad_request(f"continue key is not valid: {error}") from error
    if version != _VERSION:
        raise bad_request("continue key is not valid: server does not recognize this encoded version")
    if not isinstance(revision, int) or revision == 0 or not isinstance(start, str) or not start:
        raise bad_request(
            f"continue key is not valid: incorrect encoded start resourceVersion (version {_VERSION})"
        )
    if start.startswith("/") or ".." in start.split("/"):
        raise bad_request(f"continue key is not valid: {start}")
    return Continuation(revision, start)


class ContinueExpired(StatusError):
    """410, with a token that goes on without consistency."""

    def __init__(self, start: str) -> None:
        super().__init__(410, "Expired", _TOO_OLD)
        self._token = Continuation(INCONSISTENT, start).encode()

    def status(self) -> dict[str, Any]:
        status = super().status()
        status["metadata"] = {"continue": self._token}
        return status
