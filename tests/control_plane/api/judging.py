"""How tables of validation are judged."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from control_plane.api.validation import validate_create, validate_update
from tests.control_plane.api.samples import stored

Object = dict[str, Any]
FIXED = "field is immutable"


def named(name: str = "n", **more: Any) -> Object:
    return {"metadata": {"name": name}, **more}


def with_spec(**spec: Any) -> Object:
    return named(spec=spec)


def refused(name: str, obj: Object) -> list[str]:
    kind, made = stored(name, deepcopy(obj))
    return [str(e) for e in validate_create(kind, made)]


def refused_update(name: str, obj: Object, path: tuple[str, ...], value: Any) -> list[str]:
    """Of an object in which the field at the path gets another value."""
    kind, old = stored(name, deepcopy(obj))
    new = deepcopy(old)
    at = new
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return [str(e) for e in validate_update(kind, new, old)]


def check(kind: str, obj: Object, told: list[str]) -> None:
    """As many problems as `told`, each beginning as it says."""
    found = sorted(str(each) for each in validate_create(*stored(kind, obj)))
    assert len(found) == len(told), found
    for problem, start in zip(found, sorted(told), strict=True):
        assert problem.startswith(start)
