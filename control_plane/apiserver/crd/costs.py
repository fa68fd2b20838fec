"""What a rule may cost at most, from the sizes that its schema allows.

What has no bound in the schema is bounded by what fits into one request. As Kubernetes' estimate this is an upper
bound, coarse where the schema says little, and it knows of `self` and `oldSelf` only what their schemas say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from control_plane.apiserver import cel
from control_plane.apiserver.cel.ast import (
    Bind,
    Call,
    Comprehension,
    Ident,
    ListOf,
    Literal,
    MapOf,
    Node,
    Select,
)
from control_plane.apiserver.cel.escaping import unescape
from control_plane.apiserver.crd import call_costs

Schema = Mapping[str, Any]

MAX_REQUEST_BYTES = 3 * 1024 * 1024
_PER_ELEMENT = 4  # of a comprehension, besides the step
_PACKAGES = ("sets", "lists", "optional", "strings", "format", "ip", "jsonpatch")
_KEEP = ("lowerAscii", "upperAscii", "trim", "reverse", "sort", "distinct", "slice", "orValue", "value")
_FORMAT_SIZES = {"date": 10, "date-time": 29, "datetime": 29, "duration": 32}


@dataclass(frozen=True, slots=True)
class Estimate:
    cost: int
    size: int = 1  # of the result: characters, elements
    schema: Schema | None = None  # of the result, where it is a part of self


def max_items(schema: Schema) -> int:
    declared = schema.get("maxItems")
    if declared is not None:
        return int(declared)
    return (MAX_REQUEST_BYTES - 2) // (_min_size(schema.get("items")) + 1)


def max_entries(schema: Schema) -> int:
    declared = schema.get("maxProperties")
    if declared is not None:
        return int(declared)
    return (MAX_REQUEST_BYTES - 2) // (_min_size(schema.get("additionalProperties")) + 6)


def _min_size(schema: Any) -> int:
    """The fewest bytes that a value takes as JSON."""
    if not isinstance(schema, Mapping):
        return 1
    match schema.get("type"):
        case "object":
            properties, required = schema.get("properties") or {}, schema.get("required") or ()
            names = [name for name in required if name in properties]
            return 2 + sum(len(name) + 4 + _min_size(properties[name]) for name in names)
        case "array" | "string":
            return 2
        case "boolean":
            return 4
    return 1


def max_size(schema: Schema | None) -> int:
    """Characters of a string, elements of a list, entries of a map."""
    if schema is None:
        return 1
    match schema.get("type"):
        case "array":
            return max_items(schema)
        case "object":
            return max_entries(schema) if isinstance(schema.get("additionalProperties"), Mapping) else 1
        case "string":
            if schema.get("enum"):
                return max((len(str(each)) for each in schema["enum"]), default=1)
            known = _FORMAT_SIZES.get(schema.get("format", ""))
            return known or int(schema.get("maxLength", MAX_REQUEST_BYTES - 2))
    return 1


def estimate(program: cel.Program, schema: Schema) -> int:
    scope = {"self": Estimate(1, max_size(schema), schema), "oldSelf": Estimate(1, max_size(schema), schema)}
    return _estimate(program.tree, scope).cost


def _estimate(node: Node, scope: Mapping[str, Estimate]) -> Estimate:
    match node:
        case Literal():
            return Estimate(0, len(node.value) if isinstance(node.value, str | bytes) else 1)
        case Ident():
            return scope.get(node.name, Estimate(1))
        case Select():
            return _select(node, scope)
        case Comprehension():
            return _comprehension(node, scope)
        case Bind():
            value = _estimate(node.value, scope)
            body = _estimate(node.body, {**scope, node.name: Estimate(1, value.size, value.schema)})
            return Estimate(value.cost + body.cost + 1, body.size, body.schema)
        case ListOf():
            items = [_estimate(each, scope) for each in node.items]
            return Estimate(10 + sum(each.cost for each in items), len(items))
        case MapOf():
            pairs = [_estimate(each, scope) for key, value, _ in node.entries for each in (key, value)]
            return Estimate(30 + sum(each.cost for each in pairs), len(node.entries))
        case Call():
            return _call(node, scope)
    return Estimate(1)


def _select(node: Select, scope: Mapping[str, Estimate]) -> Estimate:
    holder = _estimate(node.operand, scope)
    below = _child(holder.schema, node.field)
    return Estimate(holder.cost + 1, max_size(below), below)


def _child(schema: Schema | None, name: str) -> Schema | None:
    if schema is None:
        return None
    properties = schema.get("properties") or {}
    found = properties.get(unescape(name), properties.get(name))
    if found is None and isinstance(schema.get("additionalProperties"), Mapping):
        found = schema["additionalProperties"]
    return found if isinstance(found, Mapping) else None


def _element(schema: Schema | None) -> Schema | None:
    found = (schema or {}).get("items", (schema or {}).get("additionalProperties"))
    return found if isinstance(found, Mapping) else None


def _comprehension(node: Comprehension, scope: Mapping[str, Estimate]) -> Estimate:
    held = _estimate(node.range, scope)
    element = _element(held.schema)
    is_map = (held.schema or {}).get("type") == "object"
    key = Estimate(1, 1 if not is_map else MAX_REQUEST_BYTES // max(held.size, 1))
    value = Estimate(1, max_size(element), element)
    if len(node.variables) > 1:
        variables = dict(zip(node.variables, (key, value), strict=True))
    else:
        variables = {node.variables[0]: key if is_map else value}
    inner = {**scope, **variables}
    step = _estimate(node.step, inner)
    each = step.cost + _PER_ELEMENT
    if node.filter is not None:
        each += _estimate(node.filter, inner).cost
    size = held.size if node.kind in ("filter", "map", "sortBy", "transformMap") else 1
    schema = held.schema if node.kind in ("filter", "sortBy") else None
    cost = held.cost + held.size * each
    if node.kind == "sortBy":
        cost += call_costs.cost_of("sort", [call_costs.Argument(held.size, holds_text=step.size > 1)])[0]
    return Estimate(cost, size, schema)


def _call(node: Call, scope: Mapping[str, Estimate]) -> Estimate:
    name, nodes = _named(node)
    parts = [_estimate(each, scope) for each in nodes]
    cost = sum(each.cost for each in parts)
    sizes = [each.size for each in parts]
    match name:
        case "_[_]" | "_[?_]":
            element = _element(parts[0].schema)
            return Estimate(cost + 1, max_size(element), element)
        case "_?_:_":
            cost = parts[0].cost + max(parts[1].cost, parts[2].cost)
            return Estimate(cost, max(sizes[1:]), parts[1].schema)
        case "_+_":
            return Estimate(cost + 1 + _tenth(sum(sizes)), sum(sizes))
        case "@in":
            return Estimate(cost + 1 + sizes[1])
        case "_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_":
            return Estimate(cost + 1 + _tenth(min(sizes)))
    given = [_argument(each, part) for each, part in zip(nodes, parts, strict=True)]
    own, size = call_costs.cost_of(name, given)
    return Estimate(cost + max(own, 1), size, parts[0].schema if name in _KEEP and parts else None)


def _named(node: Call) -> tuple[str, list[Node]]:
    """The function, with the package of one that has such, and all its arguments."""
    target = node.target
    if isinstance(target, Ident) and target.name in _PACKAGES:
        return f"{target.name}.{node.function}", list(node.arguments)
    return node.function, [*([target] if target is not None else []), *node.arguments]


def _argument(node: Node, estimate: Estimate) -> call_costs.Argument:
    literal = node.value if isinstance(node, Literal) else None
    element = _element(estimate.schema)
    schema_type = (estimate.schema or {}).get("type")
    number = literal if isinstance(literal, int) and not isinstance(literal, bool) else None
    return call_costs.Argument(
        estimate.size,
        max_size(element),
        schema_type == "string" or isinstance(literal, str),
        (element or {}).get("type") == "string",
        number,
    )


def _tenth(size: int) -> int:
    return -(-size // 10)
