"""Text for cells: ages as kubectl knows them, selectors, container lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from control_plane.api import meta, selectors

NONE, UNKNOWN, UNSET = "<none>", "<unknown>", "<unset>"
_MINUTE, _HOUR = 60, 3600
_DAY_H, _YEAR_H = 24, 24 * 365


def human_duration(seconds: float) -> str:
    """At most two units, fewer the longer it is: 119s, 9m59s, 179m, 7h59m, 47h, 7d23h, 729d, 7y364d, 8y."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    if whole < 2 * _MINUTE:
        return f"{whole}s"
    minutes = whole // _MINUTE
    if minutes < 10:
        return _two(minutes, "m", whole % _MINUTE, "s")
    if minutes < 3 * 60:
        return f"{minutes}m"
    hours = whole // _HOUR
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 8 * _DAY_H:
        return _two(hours // _DAY_H, "d", hours % _DAY_H, "h")
    if hours < 2 * _YEAR_H:
        return f"{hours // _DAY_H}d"
    if hours < 8 * _YEAR_H:
        return _two(hours // _YEAR_H, "y", hours // _DAY_H % 365, "d")
    return f"{hours // _YEAR_H}y"


def _two(big: int, big_unit: str, small: int, small_unit: str) -> str:
    return f"{big}{big_unit}{small}{small_unit}" if small else f"{big}{big_unit}"


def age(timestamp: str | None, now_s: float) -> str:
    """How long ago; `<unknown>` for what has no time."""
    then_s = meta.parse_time(timestamp)
    return UNKNOWN if then_s is None else human_duration(now_s - then_s)


def name_of(obj: Mapping[str, Any]) -> str:
    return meta.name_of(obj)


def age_of(obj: Mapping[str, Any], now_s: float) -> str:
    return age(meta.metadata(obj).get("creationTimestamp"), now_s)


def labels(pairs: Mapping[str, str] | None) -> str:
    return ",".join(f"{k}={v}" for k, v in sorted((pairs or {}).items())) or NONE


def label_selector(selector: Mapping[str, Any] | None) -> str:
    """An empty selector prints as nothing at all, a missing one as <none>."""
    if selector is None:
        return NONE
    return str(selectors.from_label_selector(selector)) or NONE


def container_cells(template: Mapping[str, Any] | None) -> list[str]:
    """Names and images of the containers of a pod template."""
    containers = ((template or {}).get("spec") or {}).get("containers") or ()
    names = ",".join(container.get("name", "") for container in containers)
    return [names, ",".join(container.get("image", "") for container in containers)]


def first_few(items: Sequence[str], total: int, limit: int = 3) -> str:
    """`a,b,c + 2 more...`"""
    shown = ",".join(items[:limit])
    return f"{shown} + {total - limit} more..." if total > limit else shown


def or_none(text: str | None) -> str:
    return text or NONE


def boolean(value: object) -> str:
    return "true" if value else "false"


def access_modes(modes: Iterable[str] | None) -> str:
    short = {
        "ReadWriteOnce": "RWO",
        "ReadOnlyMany": "ROX",
        "ReadWriteMany": "RWX",
        "ReadWriteOncePod": "RWOP",
    }
    present = set(modes or ())
    return ",".join(code for mode, code in short.items() if mode in present)
