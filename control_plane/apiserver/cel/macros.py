"""Macros that repeat an expression, or name a value."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from control_plane.apiserver.cel import operators, ordering
from control_plane.apiserver.cel.ast import Bind, Comprehension
from control_plane.apiserver.cel.errors import BudgetExceeded, EvaluationError
from control_plane.apiserver.cel.frame import Code, Frame
from control_plane.apiserver.cel.types import BOOL, DYN, INT, Type, list_of, map_of, optional_of
from control_plane.apiserver.cel.values import Optional

if TYPE_CHECKING:
    from control_plane.apiserver.cel.compiler import Compiler, Typed

Each = Callable[[Frame], Iterator[Any]]
_PREDICATES = ("all", "exists", "exists_one", "filter")


def comprehension(compiler: Compiler, node: Comprehension) -> Typed:
    range_code, range_type = compiler.compile(node.range)
    types = _variable_types(range_type, len(node.variables))
    if types is None:
        why = f"expression of type '{range_type}' cannot be range of a comprehension "
        why += "(must be list, map, or dynamic)"
        return compiler.issue(node.range.at, why)
    scope = dict(zip(node.variables, types, strict=True))
    step, step_type = compiler.scoped(scope, node.step)
    predicate: Code | None = None
    if node.filter is not None:
        predicate, filter_type = compiler.scoped(scope, node.filter)
        _check_boolean(compiler, node.filter.at, filter_type)
    if node.kind in _PREDICATES:
        _check_boolean(compiler, node.step.at, step_type)
    if node.kind == "sortBy" and not ordering.sorts(range_type, step_type):
        applied = f"{range_type}.(list({step_type}))"
        why = f"found no matching overload for '@sortByAssociatedKeys' applied to '{applied}'"
        return compiler.issue(node.at, why)
    each = _iterate(range_code, node.variables, predicate)
    return _KINDS[node.kind](each, step), _result(node.kind, types, step_type)


def _check_boolean(compiler: Compiler, at: int, type_: Type) -> None:
    if type_ not in (BOOL, DYN):
        compiler.issue(at, f"expected type 'bool' but found '{type_}'")


def _variable_types(range_type: Type, count: int) -> tuple[Type, ...] | None:
    if range_type == DYN:
        return (DYN,) * count
    if range_type.name == "list":
        return (range_type.element,) if count == 1 else (INT, range_type.element)
    if range_type.name == "map":
        key = range_type.parameters[0] if range_type.parameters else DYN
        return (key,) if count == 1 else (key, range_type.element)
    return None


def _result(kind: str, types: tuple[Type, ...], step: Type) -> Type:
    if kind in ("filter", "sortBy"):
        return list_of(types[0])
    if kind == "map":
        return list_of(step)
    if kind == "transformMap":
        return map_of(types[0], step)
    return map_of(DYN, DYN) if kind == "transformMapEntry" else BOOL


def _iterate(range_code: Code, names: tuple[str, ...], predicate: Code | None) -> Each:
    """Sets the variables for each element and yields the first of them. What they hid is put back."""

    def each(frame: Frame) -> Iterator[Any]:
        held = range_code(frame)
        if not isinstance(held, list | dict):
            raise operators.no_overload()
        values = frame.values
        hidden = {name: values[name] for name in names if name in values}
        try:
            for first, second in _pairs(held, len(names)):
                frame.budget.charge(2)
                values[names[0]] = first
                if len(names) > 1:
                    values[names[1]] = second
                if predicate is None or operators.boolean(predicate(frame)):
                    yield first
        finally:
            for name in names:
                values.pop(name, None)
            values.update(hidden)

    return each


def _pairs(held: Any, count: int) -> Iterator[tuple[Any, Any]]:
    if isinstance(held, dict):
        yield from held.items()
    elif count == 1:
        for item in held:
            yield item, None
    else:
        yield from enumerate(held)


def _decided(each: Each, step: Code, by: bool) -> Code:
    """`exists` is decided by one true, `all` by one false; an error counts only when nothing decides."""

    def code(frame: Frame) -> Any:
        failure: EvaluationError | None = None
        for _ in each(frame):
            try:
                if operators.boolean(step(frame)) is by:
                    return by
            except BudgetExceeded:
                raise
            except EvaluationError as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return not by

    return code


def _all(each: Each, step: Code) -> Code:
    return _decided(each, step, by=False)


def _exists(each: Each, step: Code) -> Code:
    return _decided(each, step, by=True)


def _exists_one(each: Each, step: Code) -> Code:
    return lambda frame: sum(1 for _ in each(frame) if operators.boolean(step(frame))) == 1


def _filter(each: Each, step: Code) -> Code:
    return lambda frame: [item for item in each(frame) if operators.boolean(step(frame))]


def _map(each: Each, step: Code) -> Code:
    return lambda frame: [step(frame) for _ in each(frame)]


def _sort_by(each: Each, step: Code) -> Code:
    def code(frame: Frame) -> Any:
        keyed = [(item, step(frame)) for item in each(frame)]
        keys = [key for _, key in keyed]
        frame.budget.charge(ordering.cost(keys))
        return ordering.ordered([item for item, _ in keyed], keys)

    return code


def _transform_map(each: Each, step: Code) -> Code:
    return lambda frame: {key: step(frame) for key in each(frame)}


def _transform_entries(each: Each, step: Code) -> Code:
    def code(frame: Frame) -> Any:
        made: dict[Any, Any] = {}
        for _ in each(frame):
            entry = step(frame)
            if not isinstance(entry, dict):
                raise operators.no_overload()
            for key, value in entry.items():
                if key in made:
                    raise EvaluationError(f"insert failed: key {key} already exists")
                made[key] = value
        return made

    return code


_KINDS: dict[str, Callable[[Each, Code], Code]] = {
    "all": _all,
    "exists": _exists,
    "exists_one": _exists_one,
    "filter": _filter,
    "map": _map,
    "sortBy": _sort_by,
    "transformMap": _transform_map,
    "transformMapEntry": _transform_entries,
}


def bind(compiler: Compiler, node: Bind) -> Typed:
    value, type_ = compiler.compile(node.value)
    name = node.name
    if node.kind == "bind":
        body, result = compiler.scoped({name: type_}, node.body)
        return (lambda frame: _with(frame, name, value(frame), body)), result
    if type_ != DYN and type_.name != "optional":
        why = f"found no matching overload for '{node.kind}' applied to '{type_}'"
        return compiler.issue(node.at, why)
    held = type_.parameters[0] if type_.parameters else DYN
    body, result = compiler.scoped({name: held}, node.body)

    def code(frame: Frame) -> Any:
        optional = value(frame)
        if not isinstance(optional, Optional):
            raise operators.no_overload()
        if not optional.present:
            return optional
        made = _with(frame, name, optional.value, body)
        return Optional(made) if node.kind == "optMap" else made

    return code, optional_of(result) if node.kind == "optMap" else result


def _with(frame: Frame, name: str, value: Any, body: Code) -> Any:
    values = frame.values
    had, before = name in values, values.get(name)
    values[name] = value
    try:
        return body(frame)
    finally:
        if had:
            values[name] = before
        else:
            del values[name]
