"""From a tree to closures, checking types on the way.

A closure takes a Frame (the variables and the budget) and returns the value. Each step charges the budget. `&&` and
`||` and the macros that are made of them absorb an error of one side when the other side decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from control_plane.apiserver.cel import escaping, literals, macros, operators, overloads
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
from control_plane.apiserver.cel.budget import Budget
from control_plane.apiserver.cel.errors import BudgetExceeded, CompileError, EvaluationError, Issue
from control_plane.apiserver.cel.frame import Code, Frame
from control_plane.apiserver.cel.functions import Library, Overload, type_names
from control_plane.apiserver.cel.parser import parse
from control_plane.apiserver.cel.types import (
    BOOL,
    DYN,
    TYPE,
    Type,
    assignable,
    list_of,
    map_of,
    optional_of,
    substitute,
)
from control_plane.apiserver.cel.values import Lazy, Optional, TypeValue

Typed = tuple[Code, Type]


class Program:
    """A compiled expression."""

    __slots__ = ("_code", "result_type", "text", "tree", "variables")

    def __init__(
        self, text: str, tree: Node, code: Code, result_type: Type, variables: Mapping[str, Type]
    ) -> None:
        self.text = text
        self.tree = tree
        self.result_type = result_type
        self.variables = variables
        self._code = code

    def evaluate(self, values: Mapping[str, Any], budget: Budget | None = None) -> Any:
        """Raises EvaluationError, BudgetExceeded."""
        frame = Frame(dict(values), budget or Budget())
        try:
            value = self._code(frame)
        except RecursionError as error:
            raise EvaluationError("expression recursion limit exceeded") from error
        frame.budget.charge(0)  # cheap steps are not checked one by one
        return value


def compile_expression(
    text: str, variables: Mapping[str, Type], functions: Sequence[Overload] = ()
) -> Program:
    """Raises CompileError."""
    return compile_tree(text, parse(text), variables, functions)


def compile_tree(
    text: str, tree: Node, variables: Mapping[str, Type], functions: Sequence[Overload] = ()
) -> Program:
    """Of a tree that was made of `text`, for callers who give it a meaning of their own. Raises CompileError."""
    library = _standard()
    if functions:
        library = Library(library)
        library.add(functions)
    compiler = Compiler(library, dict(variables))
    code, result_type = compiler.compile(tree)
    if compiler.issues:
        raise CompileError(text, compiler.issues)
    return Program(text, tree, code, result_type, dict(variables))


def _standard() -> Library:
    from control_plane.apiserver.cel.library import STANDARD

    return STANDARD


class Compiler:
    """Of one expression. Issues are collected; the code is of use only when there are none."""

    def __init__(self, library: Library, variables: dict[str, Type]) -> None:
        self.library = library
        self.variables = variables
        self.issues: list[Issue] = []
        self._mixed = False  # whether literals may hold what is of several types

    def compile(self, node: Node) -> Typed:
        match node:
            case Literal():
                return self._literal(node)
            case Ident():
                return self._ident(node)
            case Select():
                return self._select(node)
            case Call():
                return self._call(node)
            case ListOf():
                return self._list(node)
            case MapOf():
                return self._map(node)
            case Comprehension():
                return macros.comprehension(self, node)
            case Bind():
                return macros.bind(self, node)
        return self.issue(node.at, "unsupported expression: message construction")

    def issue(self, at: int, message: str) -> Typed:
        self.issues.append(Issue(at, message))
        return _nothing, DYN

    def scoped(self, names: Mapping[str, Type], node: Node) -> Typed:
        """Compile with more variables."""
        before = self.variables
        self.variables = {**before, **names}
        try:
            return self.compile(node)
        finally:
            self.variables = before

    # --- leaves

    def _literal(self, node: Literal) -> Typed:
        value = node.value
        return (lambda frame: value), operators.type_of(value)

    def _ident(self, node: Ident) -> Typed:
        name = node.name
        type_ = self.variables.get(name)
        if type_ is None:
            return self._type_name(name, node.at)

        def code(frame: Frame) -> Any:
            frame.budget.left -= 1
            try:
                value = frame.values[name]
            except KeyError:
                raise EvaluationError(f"no such attribute(s): {name}") from None
            return value.get() if type(value) is Lazy else value

        return code, type_

    def _type_name(self, name: str, at: int) -> Typed:
        named = type_names().get(name)
        if named is None:
            return self.issue(at, f"undeclared reference to '{name}' (in container '')")
        value = TypeValue(named)
        return (lambda frame: value), TYPE

    # --- selection

    def _select(self, node: Select) -> Typed:
        dotted = self._dotted(node)
        if dotted is not None and dotted in type_names():
            return self._type_name(dotted, node.at)
        operand, type_ = self.compile(node.operand)
        holder = type_.parameters[0] if type_.name == "optional" and type_.parameters else type_
        found = self._field_type(node, holder)
        if found is None:
            return _nothing, DYN
        name = escaping.unescape(node.field) if holder.is_object else node.field
        if node.test:
            return _has(operand, name), BOOL
        if node.optional or type_.name == "optional":
            return _charged(lambda frame: operators.select_optional(operand(frame), name)), optional_of(found)
        return _charged(lambda frame: operators.select(operand(frame), name)), found

    def _field_type(self, node: Select, holder: Type) -> Type | None:
        if holder.fields_of is not None:
            fields = holder.fields_of()
            found = fields.get(node.field)
            if found is None:
                found = fields.get(escaping.escape(node.field) or "")
            if found is None:
                self.issue(node.at, f"undefined field '{node.field}'")
            return found
        if holder == DYN:
            return DYN
        if holder.name == "map":
            return holder.element
        self.issue(node.at, f"type '{holder}' does not support field selection")
        return None

    def _dotted(self, node: Node) -> str | None:
        """`a.b.c` as one name, unless `a` is a variable."""
        names: list[str] = []
        while isinstance(node, Select) and not node.test and not node.optional:
            names.append(node.field)
            node = node.operand
        if not isinstance(node, Ident) or node.name in self.variables:
            return None
        return ".".join([node.name, *reversed(names)])

    # --- aggregates

    def _list(self, node: ListOf) -> Typed:
        items = [self.compile(each) for each in node.items]
        types = [_held(type_) if index in node.optional else type_ for index, (_, type_) in enumerate(items)]
        codes = [code for code, _ in items]
        element = literals.common(node.items, types, self._mixed, self.issue)
        optional = node.optional
        if not optional:
            return _charged(lambda frame: [code(frame) for code in codes], 10), list_of(element)

        def code(frame: Frame) -> Any:
            frame.budget.charge(10)
            made = []
            for index, each in enumerate(codes):
                value = each(frame)
                if index not in optional:
                    made.append(value)
                elif _optional(value).present:
                    made.append(value.value)
            return made

        return code, list_of(element)

    def _map(self, node: MapOf) -> Typed:
        entries = [(self.compile(key), self.compile(value), opt) for key, value, opt in node.entries]
        keys, values = [key for key, _, _ in node.entries], [value for _, value, _ in node.entries]
        types = [_held(value[1]) if opt else value[1] for _, value, opt in entries]
        key_type = literals.common(keys, [key[1] for key, _, _ in entries], self._mixed, self.issue)
        value_type = DYN if node.is_message else literals.common(values, types, self._mixed, self.issue)

        def code(frame: Frame) -> Any:
            frame.budget.charge(30)
            made: dict[Any, Any] = {}
            for (key, _), (value, _), opt in entries:
                at, held = key(frame), value(frame)
                if isinstance(at, float | list | dict) or at is None:
                    raise EvaluationError(f"unsupported key type: {operators.type_of(at)}")
                if at in made:
                    raise EvaluationError(f"Failed with repeated key: {at}")
                if not opt:
                    made[at] = held
                elif _optional(held).present:
                    made[at] = held.value
            return made

        return code, map_of(key_type, value_type)

    # --- calls

    def _call(self, node: Call) -> Typed:
        name = node.function
        if node.target is not None:
            return self._method(node)
        special = overloads.OPERATORS.get(name)
        if special is not None:
            arguments = [self.compile(each) for each in node.arguments]
            result = special.result([type_ for _, type_ in arguments])
            if result is None:
                return self._no_overload(node, name, [type_ for _, type_ in arguments], None)
            return special.code([code for code, _ in arguments]), result
        return self._function(node, name, list(node.arguments), is_member=False)

    def _method(self, node: Call) -> Typed:
        assert node.target is not None
        prefix = self._dotted(node.target)
        if prefix is not None and self.library.named(f"{prefix}.{node.function}", is_member=False):
            return self._function(node, f"{prefix}.{node.function}", list(node.arguments), is_member=False)
        return self._function(node, node.function, [node.target, *node.arguments], is_member=True)

    def _function(self, node: Call, name: str, nodes: list[Node], is_member: bool) -> Typed:
        known = self.library.named(name, is_member)
        mixed, self._mixed = self._mixed, self._mixed or name == literals.TAKES_MIXED
        arguments = [self.compile(each) for each in nodes]
        self._mixed = mixed
        literals.check_argument(name, nodes, self.issue)
        types = [type_ for _, type_ in arguments]
        if not known:
            if not self.library.knows(name):
                return self.issue(node.at, f"undeclared reference to '{name}' (in container '')")
            return self._no_overload(node, name, types, is_member)
        fitting: list[tuple[Overload, Type]] = []
        for each in known:
            result = _result(each, types)
            if result is not None:
                fitting.append((each, result))
        if not fitting:
            return self._no_overload(node, name, types, is_member)
        result = fitting[0][1]
        for _, other in fitting[1:]:
            result = result if result == other else DYN
        return _dispatch([each for each, _ in fitting], [code for code, _ in arguments]), result

    def _no_overload(self, node: Node, name: str, types: list[Type], is_member: bool | None) -> Typed:
        shown = ", ".join(map(str, types if not is_member else types[1:]))
        applied = f"{types[0]}.({shown})" if is_member else f"({shown})"
        return self.issue(node.at, f"found no matching overload for '{name}' applied to '{applied}'")


def _result(overload: Overload, types: Sequence[Type]) -> Type | None:
    """The result's type where these arguments fit."""
    if len(types) != len(overload.parameters):
        return None
    bound: dict[str, Type] = {}
    pairs = zip(overload.parameters, types, strict=True)
    if not all(assignable(want, have, bound) for want, have in pairs):
        return None
    return substitute(overload.result, bound)


def _dispatch(fitting: Sequence[Overload], codes: Sequence[Code]) -> Code:
    """A call; which overload it is is remembered by the types of the arguments."""
    chosen: dict[tuple[type, ...], Overload] = {}

    def code(frame: Frame) -> Any:
        arguments = [each(frame) for each in codes]
        kinds = tuple([type(each) for each in arguments])
        overload = chosen.get(kinds)
        if overload is None:
            overload = next((each for each in fitting if each.takes(arguments)), None)
            if overload is None:
                raise operators.no_overload()
            if len(fitting) == 1 or not any(isinstance(each, list | dict) for each in arguments):
                chosen[kinds] = overload
        frame.budget.charge(overload.cost(*arguments))
        return overload.function(*arguments)

    return code


def _charged(code: Code, cost: int = 1) -> Code:
    def run(frame: Frame) -> Any:
        budget = frame.budget
        budget.left -= cost
        if budget.left < 0:
            raise BudgetExceeded
        return code(frame)

    return run


def _has(operand: Code, name: str) -> Code:
    def code(frame: Frame) -> Any:
        frame.budget.charge(1)
        holder = operand(frame)
        if isinstance(holder, Optional):
            return operators.select_optional(holder, name).present
        if not isinstance(holder, dict):
            raise operators.no_overload()
        return name in holder

    return code


def _nothing(frame: Frame) -> Any:
    raise AssertionError("code of an expression that did not compile")


def _held(type_: Type) -> Type:
    return type_.parameters[0] if type_.name == "optional" and type_.parameters else DYN


def _optional(value: Any) -> Optional:
    if not isinstance(value, Optional):
        raise operators.no_overload()
    return value
