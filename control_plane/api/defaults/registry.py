"""Which function defaults which kind, and the helpers they are written with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

Object = dict[str, Any]
Default = Callable[[Object], None]

_DEFAULTS: dict[tuple[str, str, str], Default] = {}


def defaults(api_version: str, *kinds: str) -> Callable[[Default], Default]:
    """Register a function for kinds of one group version: `@defaults("apps/v1", "Deployment")`."""
    group, _, version = api_version.rpartition("/")

    def register(function: Default) -> Default:
        for kind in kinds:
            assert (group, version, kind) not in _DEFAULTS, f"{kind} has defaults already"
            _DEFAULTS[group, version, kind] = function
        return function

    return register


def apply(group: str, version: str, kind: str, obj: Object) -> None:
    """Fill in what is unset. A kind without defaults stays as it is."""
    function = _DEFAULTS.get((group, version, kind))
    if function is not None:
        function(obj)


def fill(obj: Object, values: Mapping[str, Any]) -> None:
    """Set what is missing or, for strings, empty."""
    for key, value in values.items():
        if key not in obj or (obj[key] == "" and isinstance(value, str)):
            obj[key] = deepcopy(value) if isinstance(value, dict | list) else value


def struct(obj: Object, key: str) -> Object:
    """The nested object under `key`, made when it is missing."""
    found = obj.get(key)
    if not isinstance(found, dict):
        found = obj[key] = {}
    return found


def each(obj: Object, *keys: str) -> Iterator[Object]:
    """The items of several lists, one after another."""
    for key in keys:
        yield from obj.get(key) or ()
