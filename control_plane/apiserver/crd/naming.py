"""Which of a definition's names are accepted, and the conditions that say so. Pure.

Names are unique in a group: plural, singular and short names among each other, kind and list kind among each
other. The first definition to be accepted keeps a name; one that comes later waits until it is free.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from control_plane.api import meta
from control_plane.api.errors import quote
from control_plane.apiserver.crd.served import ESTABLISHED, NAMES_ACCEPTED

Object = dict[str, Any]

_RESOURCES, _KINDS = "resources", "kinds"
_CHECKED = (
    ("plural", "PluralConflict", _RESOURCES),
    ("singular", "SingularConflict", _RESOURCES),
    ("shortNames", "ShortNamesConflict", _RESOURCES),
    ("kind", "KindConflict", _KINDS),
    ("listKind", "ListKindConflict", _KINDS),
)


class Taken:
    """Which definitions hold which accepted names."""

    def __init__(self, definitions: Iterable[Mapping[str, Any]]) -> None:
        self._holders: dict[tuple[str, str, str], set[str]] = defaultdict(set)
        for definition in definitions:
            self.add(definition, definition.get("status") or {})

    def add(self, definition: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        names = status.get("acceptedNames") or {}
        group, holder = definition["spec"].get("group", ""), meta.name_of(definition)
        for key, _, sort in _CHECKED:
            value = names.get(key)
            for name in value if isinstance(value, list) else [value] if value else ():
                self._holders[group, sort, name].add(holder)

    def by_another(self, definition: Mapping[str, Any], sort: str, name: str) -> bool:
        holders = self._holders.get((definition["spec"].get("group", ""), sort, name), set())
        return bool(holders - {meta.name_of(definition)})


def status_of(definition: Mapping[str, Any], taken: Taken, now: str) -> Object:
    """The status that the definition should have. `now` is RFC 3339."""
    status: Object = dict(definition.get("status") or {})
    wanted = definition["spec"]["names"]
    accepted = dict(status.get("acceptedNames") or {})
    problem: tuple[str, str] | None = None
    for key, reason, sort in _CHECKED:
        told = _conflicts(definition, wanted.get(key), accepted.get(key), sort, taken)
        if told:
            problem = (reason, told)
        else:
            _set(accepted, key, wanted.get(key))
    _set(accepted, "categories", wanted.get("categories"))
    accepted.setdefault("plural", "")
    accepted.setdefault("kind", "")
    status["acceptedNames"] = accepted
    status["conditions"] = _conditions(list(status.get("conditions") or ()), problem, now)
    return status


def _conditions(conditions: list[Object], problem: tuple[str, str] | None, now: str) -> list[Object]:
    established = any(each.get("type") == ESTABLISHED and each.get("status") == "True" for each in conditions)
    if problem is None:
        set_condition(conditions, NAMES_ACCEPTED, "True", "NoConflicts", "no conflicts found", now)
        if not established:
            initial = "the initial names have been accepted"
            set_condition(conditions, ESTABLISHED, "True", "InitialNamesAccepted", initial, now)
        return conditions
    set_condition(conditions, NAMES_ACCEPTED, "False", *problem, now)
    if not established:
        why = "not all names are accepted"
        set_condition(conditions, ESTABLISHED, "False", "NotAccepted", why, now)
    return conditions


def set_condition(
    conditions: list[Object], type_: str, status: str, reason: str, message: str, now: str
) -> None:
    """Set or add a condition; its time moves only with its status."""
    made = {
        "lastTransitionTime": now,
        "message": message,
        "reason": reason,
        "status": status,
        "type": type_,
    }
    for index, condition in enumerate(conditions):
        if condition.get("type") == type_:
            if condition.get("status") == status:
                made["lastTransitionTime"] = condition.get("lastTransitionTime", now)
            conditions[index] = {**condition, **made}
            return
    conditions.append(made)


def _conflicts(definition: Mapping[str, Any], wanted: Any, accepted: Any, sort: str, taken: Taken) -> str:
    """Why the name cannot be had; "" when it can. A name that is ours already stays ours."""
    if isinstance(wanted, list):
        ours = set(accepted or ())
        told = [_in_use(x) for x in wanted if x not in ours and taken.by_another(definition, sort, x)]
        return told[0] if len(told) == 1 else f"[{', '.join(told)}]" if told else ""
    in_use = wanted and wanted != accepted and taken.by_another(definition, sort, wanted)
    return _in_use(wanted) if in_use else ""


def _in_use(name: str) -> str:
    return f"{quote(name)} is already in use"


def _set(accepted: Object, key: str, value: Any) -> None:
    if value:
        accepted[key] = value
    else:
        accepted.pop(key, None)
