"""Tables of custom resources: NAME, and the columns that the definition adds (AGE, when it adds none)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from control_plane.api import meta
from control_plane.api.tables.text import age
from control_plane.apiserver.crd import jsonpath

Object = dict[str, Any]
Cell = Callable[[Mapping[str, Any], float], Any]

NAME_DESCRIPTION = (
    "Name must be unique within a namespace. Is required when creating resources, although some resources may "
    "allow a client to request the generation of an appropriate name automatically. Name is primarily intended "
    "for creation idempotence and configuration definition. Cannot be updated. More info: "
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
)
_AGE: Object = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}


class Columns:
    """The columns of one version."""

    def __init__(self, additional: Sequence[Mapping[str, Any]]) -> None:
        chosen = additional or (_AGE,)
        name = {
            "name": "Name",
            "type": "string",
            "format": "name",
            "description": NAME_DESCRIPTION,
            "priority": 0,
        }
        self.definitions: list[Object] = [name, *map(_definition, chosen)]
        self._chosen = [(column.get("type", ""), column.get("jsonPath", "")) for column in chosen]

    def cells(self, obj: Mapping[str, Any], now_s: float) -> list[Any]:
        found = [_cell(type_, jsonpath.find(path, obj), now_s) for type_, path in self._chosen]
        return [meta.name_of(obj), *found]


def _definition(column: Mapping[str, Any]) -> Object:
    path = column.get("jsonPath", "")
    return {
        "name": column.get("name", ""),
        "type": column.get("type", ""),
        "format": column.get("format", ""),
        "description": column.get("description")
        or f"Custom resource definition column (in JSONPath format): {path}",
        "priority": column.get("priority", 0),
    }


def _cell(type_: str, found: list[Any], now_s: float) -> Any:
    """The first value that was found; what is of another type than the column is not shown."""
    value = found[0] if found else None
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match type_:
        case "string":
            return _text(value)
        case "date":
            return _age(value, now_s)
        case "integer":
            return int(value) if is_number else None
        case "number":
            return float(value) if is_number else None
        case "boolean":
            return value if isinstance(value, bool) else None
    return None


def _age(value: Any, now_s: float) -> Any:
    if not isinstance(value, str):
        return None
    return age(value, now_s) if meta.parse_time(value) is not None else "<invalid>"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
