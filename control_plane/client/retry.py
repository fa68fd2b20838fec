"""Which failed requests may be sent again, and when. Pure.

A write is repeated only when it certainly was not carried out: the connection was never made, or the server
refused it unread (429). Everything else about a write is the caller's to judge, who knows its
preconditions. Reads are repeated after any broken connection and after any "come back later".
"""

from __future__ import annotations

from control_plane.client.backoff import Backoff, Random
from control_plane.client.errors import ConnectionFailed, NotSent
from control_plane.client.types import Response

MAX_ATTEMPTS = 6
FIRST_DELAY_S = 0.05
MAX_DELAY_S = 1.0
MAX_RETRY_AFTER_S = 10.0  # a server may ask for more; then the caller hears of it

_READS = frozenset({"GET", "HEAD"})


class RetryPolicy:
    """The tries of one request: ask after each failure; None means give up."""

    def __init__(self, method: str, random: Random, max_attempts: int = MAX_ATTEMPTS) -> None:
        self._read = method in _READS
        self._left = max_attempts - 1
        self._backoff = Backoff(random, FIRST_DELAY_S, MAX_DELAY_S)

    def after_failure_s(self, error: ConnectionFailed) -> float | None:
        if self._left <= 0 or not (self._read or isinstance(error, NotSent)):
            return None
        self._left -= 1
        return self._backoff.next_s()

    def after_response_s(self, response: Response) -> float | None:
        if self._left <= 0 or not self._asks_to_come_back(response.status):
            return None
        retry_after_s = _retry_after_s(response)
        if retry_after_s is None or retry_after_s > MAX_RETRY_AFTER_S:
            return None
        self._left -= 1
        return max(retry_after_s, self._backoff.next_s())

    def _asks_to_come_back(self, status: int) -> bool:
        return status == 429 or (self._read and status >= 500)


def _retry_after_s(response: Response) -> float | None:
    """Only whole seconds are used by apiservers, never dates."""
    try:
        return max(0.0, float(response.headers["Retry-After"]))
    except (KeyError, ValueError):
        return None
