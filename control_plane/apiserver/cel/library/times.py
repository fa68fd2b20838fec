"""Parts of timestamps and durations."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from control_plane.apiserver.cel.errors import EvaluationError
from control_plane.apiserver.cel.functions import Library
from control_plane.apiserver.cel.values import NANOS, Duration, Timestamp

LIBRARY = Library()
declare = LIBRARY.declare

_OFFSET = re.compile(r"([+-]?)(\d\d):(\d\d)", re.ASCII)
_PARTS: dict[str, Callable[[datetime], int]] = {
    "getFullYear": lambda at: at.year,
    "getMonth": lambda at: at.month - 1,
    "getDayOfYear": lambda at: at.timetuple().tm_yday - 1,
    "getDayOfMonth": lambda at: at.day - 1,
    "getDate": lambda at: at.day,
    "getDayOfWeek": lambda at: at.isoweekday() % 7,
    "getHours": lambda at: at.hour,
    "getMinutes": lambda at: at.minute,
    "getSeconds": lambda at: at.second,
}


def _zone(name: str) -> tzinfo:
    found = _OFFSET.fullmatch(name)
    if found:
        offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
        return timezone(-offset if found[1] == "-" else offset)
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise EvaluationError(f"unknown time zone {name}") from None


def _declare_part(name: str, part: Callable[[datetime], int]) -> None:
    @declare(f"method {name}(timestamp) -> int")
    def utc(at: Timestamp) -> int:
        return part(at.moment())

    @declare(f"method {name}(timestamp, string) -> int")
    def local(at: Timestamp, zone: str) -> int:
        return part(at.moment().astimezone(_zone(zone)))


for _name, _part in _PARTS.items():
    _declare_part(_name, _part)


@declare("method getMilliseconds(timestamp) -> int", "method getMilliseconds(timestamp, string) -> int")
def milliseconds(at: Timestamp, zone: str = "") -> int:
    return at.nanos % NANOS // 1_000_000


def _whole(value: Duration, unit: int) -> int:
    count = abs(value.nanos) // unit
    return -count if value.nanos < 0 else count


@declare("method getHours(duration) -> int")
def hours(value: Duration) -> int:
    return _whole(value, 3600 * NANOS)


@declare("method getMinutes(duration) -> int")
def minutes(value: Duration) -> int:
    return _whole(value, 60 * NANOS)


@declare("method getSeconds(duration) -> int")
def seconds(value: Duration) -> int:
    return _whole(value, NANOS)


@declare("method getMilliseconds(duration) -> int")
def duration_milliseconds(value: Duration) -> int:
    return _whole(value, 1_000_000)
