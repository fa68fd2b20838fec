"""x-kubernetes-validations: the CEL rules of a schema, and what they find in an object.

Rules are compiled when an object is first judged by them, each once for all objects. `self` is the value where the
rule stands, `oldSelf` what it was: a rule that uses it is skipped where there is nothing to compare with. All
rules share one budget per object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from control_plane.api import errors
from control_plane.api.errors import FieldError
from control_plane.apiserver.crd.correlation import NEW, element_of, equal, value_of

if TYPE_CHECKING:
    from control_plane.apiserver.cel import Budget
    from control_plane.apiserver.crd.rule import Rule

Object = dict[str, Any]
Schema = Mapping[str, Any]

RULES = "x-kubernetes-validations"
RUNTIME_COST_BUDGET = 10_000_000  # of all rules for one object, as in Kubernetes
OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"


class Rules:
    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._compiled: dict[int, Sequence[Rule]] = {}
        self._reaches: dict[int, bool] = {}  # by schema: whether there are rules in it or below
        self.empty = not self._reach(schema)

    def validate(self, new: Object, old: Object | None) -> list[FieldError]:
        from control_plane.apiserver.cel import Budget

        walk = _Walk(self, Budget(RUNTIME_COST_BUDGET))
        walk.value(new, NEW if old is None else old, self._schema, "", is_root=True)
        return walk.found

    def of(self, schema: Schema, is_root: bool) -> Sequence[Rule]:
        """The compiled rules that stand right at a schema."""
        declared = schema.get(RULES)
        if not declared:
            return ()
        known = self._compiled.get(id(schema))
        if known is None:
            from control_plane.apiserver.crd.rule import compiled

            known = self._compiled[id(schema)] = compiled(schema, declared, is_root)
        return known

    def reach(self, schema: Schema) -> bool:
        return self._reaches.get(id(schema), False)

    def _reach(self, schema: Schema) -> bool:
        below = [self._reach(child) for child in _children(schema)]
        found = bool(schema.get(RULES)) or any(below)
        self._reaches[id(schema)] = found
        return found


def _children(schema: Schema) -> Iterator[Schema]:
    yield from (schema.get("properties") or {}).values()
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), Mapping):
            yield schema[key]


class _Stop(Exception):
    """The budget is used up."""


class _Walk:
    """Through one object."""

    def __init__(self, rules: Rules, budget: Budget) -> None:
        self._rules = rules
        self._budget = budget
        self.found: list[FieldError] = []

    def value(self, value: Any, old: Any, schema: Schema, path: str, is_root: bool = False) -> None:
        try:
            self._value(value, old, schema, path, is_root)
        except _Stop:
            return

    def _value(self, value: Any, old: Any, schema: Schema, path: str, is_root: bool = False) -> None:
        if value is None or not self._rules.reach(schema):
            return
        self._at(value, old, schema, path, is_root)
        if isinstance(value, list) and isinstance(schema.get("items"), Mapping):
            for index, item in enumerate(value):
                before = element_of(item, index, schema, old)
                self._value(item, before, schema["items"], f"{path}[{index}]")
        elif isinstance(value, dict):
            self._fields(value, old, schema, path)

    def _fields(self, value: Object, old: Any, schema: Schema, path: str) -> None:
        properties = schema.get("properties") or {}
        additional = schema.get("additionalProperties")
        for key, item in value.items():
            child = properties.get(key, additional if isinstance(additional, Mapping) else None)
            if child is not None:
                self._value(item, value_of(old, key), child, f"{path}.{key}" if path else key)

    def _at(self, value: Any, old: Any, schema: Schema, path: str, is_root: bool) -> None:
        rules = self._rules.of(schema, is_root)
        if not rules:
            return
        from control_plane.apiserver.crd.rule import Case

        case = Case(value, old, schema, path)
        unchanged = old is not NEW and equal(value, old)
        for rule in rules:
            if unchanged and not rule.uses_old_self:
                continue  # what was wrong before may stay
            finding = rule.judge(case, self._budget)
            if finding is not None:
                self.found.append(finding.error)
                if finding.stops:
                    raise _Stop


def out_of_budget(path: str, kind: str) -> FieldError:
    return errors.invalid_value(path or "<nil>", kind, OUT_OF_BUDGET)
