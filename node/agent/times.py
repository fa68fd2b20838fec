"""Times as the API writes them (RFC 3339, whole seconds, UTC) from seconds or nanoseconds since the epoch."""

from __future__ import annotations

import datetime as dt

from control_plane.api.meta import rfc3339, rfc3339_micro

__all__ = ["NS_PER_S", "from_ns", "parse", "rfc3339", "rfc3339_micro"]

NS_PER_S = 1_000_000_000


def from_ns(nanoseconds: int) -> str | None:
    """None for a time that was not reached, which CRI writes as 0."""
    return rfc3339(nanoseconds / NS_PER_S) if nanoseconds else None


def parse(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time; fractions and offsets are taken."""
    return dt.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
