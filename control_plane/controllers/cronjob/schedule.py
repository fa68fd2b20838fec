"""Cron expressions as kube-controller-manager reads them, and the moments at which they fire.

Five fields (minute, hour, day of month, month, day of week) of lists, ranges, steps and names; `@hourly` and its
kin; `@every 1h30m`; `TZ=` or `CRON_TZ=` in front. When both day fields are restricted a day matches either, else it
must match both. Times are seconds since the epoch. A local time that a change of clocks leaves out does not fire on
that day; one that it repeats fires twice.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

SEARCH_YEARS = 5  # an expression that does not fire in that time ("59 23 31 2 *") never does

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMES = {
    3: {each: number + 1 for number, each in enumerate(_MONTHS)},
    4: {d: n for n, d in enumerate(_DAYS)},
}
_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


class Schedule(ABC):
    @abstractmethod
    def next(self, after: float) -> float | None:
        """The first moment later than `after`; None for never."""


@dataclass(frozen=True, slots=True)
class Every(Schedule):
    """A constant delay in whole seconds."""

    delay_s: int

    def next(self, after: float) -> float:
        return float(int(after) + self.delay_s)


@dataclass(frozen=True, slots=True)
class Calendar(Schedule):
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool  # both day fields are restricted: one of them is enough
    zone: tzinfo

    def next(self, after: float) -> float | None:
        start = datetime.fromtimestamp(int(after) // 60 * 60 + 60, UTC)
        moment, end = start.astimezone(self.zone), start + timedelta(days=366 * SEARCH_YEARS)
        while moment < end:
            if moment.month not in self.months:
                moment = self._local(moment.year + moment.month // 12, moment.month % 12 + 1, 1)
            elif not self._is_day(moment):
                tomorrow = moment.date() + timedelta(days=1)
                moment = self._local(tomorrow.year, tomorrow.month, tomorrow.day)
            elif moment.hour not in self.hours:
                moment = self._later(moment, 60 - moment.minute)
            elif moment.minute not in self.minutes:
                moment = self._later(moment, 1)
            else:
                return moment.timestamp()
        return None

    def _is_day(self, moment: datetime) -> bool:
        in_month, in_week = moment.day in self.days, moment.isoweekday() % 7 in self.weekdays
        return in_month or in_week if self.either_day else in_month and in_week

    def _local(self, year: int, month: int, day: int) -> datetime:
        """That day's midnight, or what is left of it where the clocks go forward at midnight."""
        return datetime(year, month, day, tzinfo=self.zone).astimezone(UTC).astimezone(self.zone)

    def _later(self, moment: datetime, minutes: int) -> datetime:
        """Elapsed, not local, minutes."""
        return (moment.astimezone(UTC) + timedelta(minutes=minutes)).astimezone(self.zone)


def parse(text: str, zone: tzinfo = UTC) -> Schedule:
    """`zone`: of the fields, unless the text names one. Raises ValueError."""
    if text.startswith(("TZ=", "CRON_TZ=")):
        named, _, text = text.partition(" ")
        zone = time_zone(named.partition("=")[2])
    text = text.strip()
    if text.startswith("@every "):
        return Every(max(int(parse_duration_s(text.removeprefix("@every ").strip())), 1))
    if text.startswith("@") and text not in MACROS:
        raise ValueError(f"unrecognized descriptor: {text}")
    fields = MACROS.get(text, text).split()
    if len(fields) != len(_RANGES):
        raise ValueError(f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]")
    minutes, hours, days, months, weekdays = (_field(index, field) for index, field in enumerate(fields))
    either_day = not any(_is_star(part) for field in (fields[2], fields[4]) for part in field.split(","))
    return Calendar(minutes, hours, days, months, weekdays, either_day, zone)


def time_zone(name: str) -> ZoneInfo:
    """Raises ValueError."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"unknown time zone {name}") from error


def parse_duration_s(text: str) -> float:
    """As Go writes durations: 1h30m, 90s, 1.5h. Raises ValueError."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text.removeprefix("+"):
        raise ValueError(f"failed to parse duration @every {text}")
    return sum(float(number) * _UNITS_S[unit] for number, unit in parts)


def _is_star(part: str) -> bool:
    """`*/1` is a star; `*/2` is a restriction."""
    span, _, step = part.partition("/")
    return span in ("*", "?") and step in ("", "1")


def _field(index: int, text: str) -> frozenset[int]:
    return frozenset(number for part in text.split(",") for number in _part(index, part))


def _part(index: int, part: str) -> range:
    low, high = _RANGES[index]
    span, slash, step_text = part.partition("/")
    first, dash, last = span.partition("-")
    if span in ("*", "?"):
        start, end = low, high
    else:
        start = _number(index, first)
        end = _number(index, last) if dash else high if slash else start
    step = _number(-1, step_text) if slash else 1
    if step == 0:
        raise ValueError(f"step of range should be a positive number: {part}")
    if start < low:
        raise ValueError(f"beginning of range ({start}) below minimum ({low}): {part}")
    if end > high:
        raise ValueError(f"end of range ({end}) above maximum ({high}): {part}")
    if start > end:
        raise ValueError(f"beginning of range ({start}) beyond end of range ({end}): {part}")
    return range(start, end + 1, step)


def _number(index: int, text: str) -> int:
    named = _NAMES.get(index, {}).get(text.lower())
    if named is not None:
        return named
    if not text.isascii() or not text.isdigit():
        raise ValueError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    return int(text)
