"""Cron schedules: what is wrong with one, as the parser upstream says it."""

from __future__ import annotations

import re

from control_plane.api import errors

_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


_NAMES = {
    3: ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    4: ("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
}


_EVERY = "@every "
_INTERVAL = re.compile(r"[+-]?(?:0|(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h))+", re.ASCII)
_MACROS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")


def schedule_problem(schedule: str) -> str:
    if schedule.startswith("@"):
        if schedule.startswith(_EVERY):
            return _interval_problem(schedule)
        return "" if schedule in _MACROS else f"unrecognized descriptor: {schedule}"
    fields = schedule.split()
    if len(fields) != len(_RANGES):
        shown = " ".join(fields)
        return f"expected exactly 5 fields, found {len(fields)}: [{shown}]"
    for index, text in enumerate(fields):
        for part in text.split(","):
            if problem := _part_problem(index, part):
                return problem
    return ""


def _interval_problem(schedule: str) -> str:
    text = schedule.removeprefix(_EVERY)
    if _INTERVAL.fullmatch(text):
        return ""
    return f"failed to parse duration {schedule}: time: invalid duration {errors.quote(text)}"


def _part_problem(index: int, part: str) -> str:
    low, high = _RANGES[index]
    span, slash, step = part.partition("/")
    if slash and (not step.isdigit() or int(step) == 0):
        return (
            f"step of range should be a positive number: {part}"
            if step == "0"
            else f"failed to parse int from {step}: strconv.Atoi: parsing {errors.quote(step)}: invalid syntax"
        )
    if span in ("*", "?"):
        return ""
    first, dash, last = span.partition("-")
    bounds = []
    for end in (first, last) if dash else (first,):
        named = _NAMES.get(index, ())
        if end.lower() in named:
            bounds.append(named.index(end.lower()) + (1 if index == 3 else 0))
        elif end.isdigit():
            bounds.append(int(end))
        else:
            return (
                f"failed to parse int from {end}: strconv.Atoi: parsing {errors.quote(end)}: invalid syntax"
            )
    if bounds[0] < low:
        return f"beginning of range ({bounds[0]}) below minimum ({low}): {part}"
    if bounds[-1] > high:
        return f"end of range ({bounds[-1]}) above maximum ({high}): {part}"
    if bounds[0] > bounds[-1]:
        return f"beginning of range ({bounds[0]}) beyond end of range ({bounds[-1]}): {part}"
    return ""


def zone_exists(zone: str) -> bool:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(zone)
    except (ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError
        return False
    except KeyError:
        return False
    return True
