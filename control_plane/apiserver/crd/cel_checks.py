"""The CEL rules of a definition's schema: they compile, know their oldSelf, and cannot cost too much."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from control_plane.api import errors
from control_plane.api.errors import FieldError
from control_plane.apiserver.crd import costs
from control_plane.apiserver.crd.rule import Rule
from control_plane.apiserver.crd.rules import RULES

Schema = Mapping[str, Any]
Errors = Iterator[FieldError]

RULE_COST_LIMIT = 10_000_000
TOTAL_COST_LIMIT = 100_000_000
_MOST_EXPENSIVE = 4


@dataclass(slots=True)
class _Total:
    costs: list[tuple[int, str]] = field(default_factory=list)

    def sum(self) -> int:
        return sum(cost for cost, _ in self.costs)


def check(schema: Schema, path: str) -> list[FieldError]:
    """`schema` is a valid root schema."""
    total = _Total()
    found = list(_walk(schema, path, 1, "", total, is_root=True))
    if total.sum() > TOTAL_COST_LIMIT:
        why = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
        dearest = sorted(total.costs, reverse=True)[:_MOST_EXPENSIVE]
        found += [errors.forbidden_field(where, why) for _, where in dearest]
        name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        found.append(errors.forbidden_field(path, _too_dear(name, total.sum(), TOTAL_COST_LIMIT)))
    return found


def _walk(
    schema: Schema, path: str, times: int, uncorrelated: str, total: _Total, is_root: bool = False
) -> Errors:
    """`times`: how often there may be a value of this schema in one object."""
    for index, declared in enumerate(schema.get(RULES) or ()):
        yield from _rule(declared, schema, f"{path}.{RULES}[{index}]", times, uncorrelated, total, is_root)
    below = uncorrelated or (path if schema.get("x-kubernetes-map-type") == "atomic" else "")
    for name, child in (schema.get("properties") or {}).items():
        yield from _walk(child, f"{path}.properties[{name}]", times, below, total)
    if isinstance(schema.get("additionalProperties"), Mapping):
        many = times * costs.max_entries(schema)
        where = f"{path}.additionalProperties"
        yield from _walk(schema["additionalProperties"], where, many, uncorrelated, total)
    if isinstance(schema.get("items"), Mapping):
        many = times * costs.max_items(schema)
        below = uncorrelated or ("" if schema.get("x-kubernetes-list-type") == "map" else path)
        yield from _walk(schema["items"], f"{path}.items", many, below, total)


def _rule(
    declared: Mapping[str, Any],
    schema: Schema,
    path: str,
    times: int,
    uncorrelated: str,
    total: _Total,
    is_root: bool,
) -> Errors:
    rule = Rule(declared, schema, is_root)
    if rule.problem:
        yield errors.invalid_value(f"{path}.rule", dict(declared), rule.problem)
    elif rule.program is not None:
        cost = costs.estimate(rule.program, schema) * times
        total.costs.append((cost, f"{path}.rule"))
        if cost > RULE_COST_LIMIT:
            why = _too_dear("estimated rule cost", cost, RULE_COST_LIMIT)
            yield errors.forbidden_field(f"{path}.rule", why)
    if rule.message_problem:
        yield errors.invalid_value(f"{path}.messageExpression", dict(declared), rule.message_problem)
    if rule.uses_old_self and uncorrelated:
        why = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelated}"
        yield errors.invalid_value(f"{path}.rule", rule.text, why)
    if declared.get("optionalOldSelf") is not None and not rule.uses_old_self:
        why = "may not be set if oldSelf is not used in rule"
        yield errors.invalid_value(f"{path}.optionalOldSelf", declared["optionalOldSelf"], why)


def _too_dear(name: str, cost: int, limit: int) -> str:
    factor = cost / limit
    if factor > 100:
        shown = "more than 100x"
    else:
        shown = f"{factor:f}x" if factor < 1.5 else f"{factor:.1f}x"
    return (
        f"{name} exceeds budget by factor of {shown} (try simplifying the rule, or adding maxItems, maxProperties, "
        "and maxLength where arrays, maps, and strings are declared)"
    )
