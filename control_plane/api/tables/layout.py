"""How a table is declared.

    @table("apps/v1", "deployments", "Name, Ready, Up-to-date, Available, Age | Containers, Images, Selector")
    def deployment(obj, now_s): return [...]

Columns after the bar are wide ones, as is one with a plus before it. `Desired:integer` gives a column
another type than string.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from control_plane.api.registry import Resource

Object = Mapping[str, Any]
Cells = list[Any]
Printer = Callable[[Object, float], Cells]

_TABLES: dict[str, tuple[list[dict[str, Any]], Printer]] = {}
_CONDITIONS: dict[str, Callable[[Object], list[dict[str, str]]]] = {}


@dataclass(frozen=True, slots=True)
class Row:
    cells: Cells
    conditions: list[dict[str, str]] = field(default_factory=list)


def table(api_version: str, resource: str, layout: str) -> Callable[[Printer], Printer]:
    group = api_version.rpartition("/")[0]
    name = f"{resource}.{group}" if group else resource

    def register(printer: Printer) -> Printer:
        assert name not in _TABLES, f"{name} has a table already"
        _TABLES[name] = (parse_layout(layout), printer)
        return printer

    return register


def conditions(resource: str, function: Callable[[Object], list[dict[str, str]]]) -> None:
    """Say which rows are finished; kubectl greys or hides them."""
    _CONDITIONS[resource] = function


def parse_layout(layout: str) -> list[dict[str, Any]]:
    narrow, _, wide = layout.partition("|")
    return [*_columns(narrow, 0), *_columns(wide, 1)]


def _columns(names: str, priority: int) -> list[dict[str, Any]]:
    found = []
    for declared in filter(None, (part.strip() for part in names.split(","))):
        name, _, type_ = declared.removeprefix("+").partition(":")
        found.append(
            {
                "name": name,
                "type": type_ or "string",
                "format": "name" if name == "Name" else "",
                "description": _DESCRIPTIONS.get(name, ""),
                "priority": 1 if declared.startswith("+") else priority,
            }
        )
    return found


_DESCRIPTIONS = {
    "Name": "Name must be unique within a namespace.",
    "Age": "How long ago the object was created.",
    "Created At": "When the object was created.",
    "Containers": "Names of each container in the template.",
    "Images": "Images referenced by each container in the template.",
    "Selector": "The labels that select the objects it manages.",
    "Status": "The present state.",
}


def columns(resource: Resource) -> list[dict[str, Any]]:
    """Column definitions. They are shared: do not change them."""
    if resource.custom_kind is not None:
        return resource.custom_kind.columns
    return _TABLES.get(resource.group_resource, _DEFAULT)[0]


def row(resource: Resource, obj: Object, now_s: float) -> Row:
    if resource.custom_kind is not None:
        return Row(resource.custom_kind.cells(obj, now_s))
    printer = _TABLES.get(resource.group_resource, _DEFAULT)[1]
    finished = _CONDITIONS.get(resource.group_resource)
    return Row(printer(obj, now_s), finished(obj) if finished else [])


def _created_at(obj: Object, now_s: float) -> Cells:
    metadata = obj.get("metadata") or {}
    return [metadata.get("name", ""), metadata.get("creationTimestamp") or ""]


_DEFAULT: tuple[list[dict[str, Any]], Printer] = (parse_layout("Name, Created At:date"), _created_at)
