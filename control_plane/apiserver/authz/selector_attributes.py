"""Selectors of a request as an authorization webhook is told of them: parsed, since a webhook that parsed them
differently could be deceived. What cannot be parsed, and what has no operator there (`>`, `<`), is left out: the
webhook then decides about more than was asked for."""

from __future__ import annotations

from typing import Any

from control_plane.api.selectors import SelectorError, parse_fields, parse_labels

Object = dict[str, Any]

_OPERATORS = {
    "=": "In",
    "in": "In",
    "!=": "NotIn",
    "notin": "NotIn",
    "exists": "Exists",
    "!": "DoesNotExist",
}


def of_labels(text: str) -> list[Object]:
    try:
        parsed = parse_labels(text).requirements
    except SelectorError:
        return []
    return [
        _requirement(each.key, _OPERATORS[each.operator], sorted(each.values))
        for each in parsed
        if each.operator in _OPERATORS
    ]


def of_fields(text: str) -> list[Object]:
    try:
        parsed = parse_fields(text).requirements
    except SelectorError:
        return []
    return [_requirement(each.field, _OPERATORS[each.operator], [each.value]) for each in parsed]


def _requirement(key: str, operator: str, values: list[str]) -> Object:
    found: Object = {"key": key, "operator": operator}
    return {**found, "values": values} if values else found
