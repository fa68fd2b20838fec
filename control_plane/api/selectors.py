"""Label and field selectors: parsed once, matched many times.

Grammar and errors follow apimachinery's `labels` and `fields` packages: a label requirement is `k`, `!k`,
`k=v`, `k==v`, `k!=v`, `k in (a,b)`, `k notin (a,b)`, `k>1`, `k<1`; requirements are joined by commas. A
field requirement is `path=value`, `path==value` or `path!=value`, with `\\`, `,` and `=` escaped in the
value. `notin` and `!=` match objects that do not have the key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from control_plane.api import names
from control_plane.api.errors import quote

_TOKEN = re.compile(r"\s*(?:(==|!=|[=,()!<>])|([^\s=,()!<>]+))", re.ASCII)
_SYMBOLS = {"=", "==", "!=", ",", "(", ")", "!", "<", ">"}
_EXPRESSION_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
MAX_SELECTOR_CHARS = 64 * 1024


class SelectorError(ValueError):
    """The selector cannot be parsed. The apiserver answers BadRequest with this message."""


@dataclass(frozen=True, slots=True)
class Requirement:
    key: str
    operator: str  # =, !=, in, notin, exists, !, gt, lt
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "in" | "=":
                return value is not None and value in self.values
            case "notin" | "!=":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
        return value is not None and _compare(self.operator, value, next(iter(self.values)))

    def __str__(self) -> str:
        values = ",".join(sorted(self.values))
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({values})"
            case "=" | "!=":
                return f"{self.key}{self.operator}{values}"
        return f"{self.key}{'>' if self.operator == 'gt' else '<'}{values}"


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements must hold; none at all matches everything. `nothing` matches no object."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        if self.nothing:
            return False
        labels = labels or {}
        return all(requirement.matches(labels) for requirement in self.requirements)

    @property
    def empty(self) -> bool:
        return not self.requirements and not self.nothing

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)


EVERYTHING = LabelSelector()
NOTHING = LabelSelector(nothing=True)


def parse_labels(text: str) -> LabelSelector:
    if len(text) > MAX_SELECTOR_CHARS:
        raise SelectorError(f"selector is too long: may not be more than {MAX_SELECTOR_CHARS} characters")
    if not text.strip():
        return EVERYTHING
    return LabelSelector(tuple(_Parser(text).requirements()))


def from_label_selector(selector: Mapping[str, Any] | None) -> LabelSelector:
    """A `LabelSelector` object of the API. None selects nothing, an empty one everything."""
    if selector is None:
        return NOTHING
    requirements = [
        Requirement(k, "=", frozenset((v,))) for k, v in (selector.get("matchLabels") or {}).items()
    ]
    for expression in selector.get("matchExpressions") or ():
        operator = _EXPRESSION_OPERATORS.get(expression.get("operator", ""))
        if operator is None:
            raise SelectorError(
                f"{quote(expression.get('operator', ''))} is not a valid label selector operator"
            )
        requirements.append(
            Requirement(expression.get("key", ""), operator, frozenset(expression.get("values") or ()))
        )
    return LabelSelector(tuple(sorted(requirements, key=lambda r: r.key)))


def from_set(labels: Mapping[str, str] | None) -> LabelSelector:
    """A plain map, as in a Service's or ReplicationController's selector: empty selects nothing."""
    if not labels:
        return NOTHING
    return LabelSelector(tuple(Requirement(k, "=", frozenset((v,))) for k, v in sorted(labels.items())))


def format_label_selector(selector: Mapping[str, Any] | None) -> str:
    """As kubectl and the scale subresource print it."""
    if not selector:
        return "<none>"
    return str(from_label_selector(selector)) or "<none>"


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    field: str
    operator: str  # = or !=
    value: str


@dataclass(frozen=True, slots=True)
class FieldSelector:
    requirements: tuple[FieldRequirement, ...] = ()

    def matches(self, values: Mapping[str, str]) -> bool:
        """`values` come from the resource's strategy; a field it lacks reads as empty."""
        return all((values.get(r.field, "") == r.value) == (r.operator == "=") for r in self.requirements)

    @property
    def fields(self) -> list[str]:
        return [r.field for r in self.requirements]

    @property
    def empty(self) -> bool:
        return not self.requirements

    def required_value(self, field: str) -> str | None:
        """The value that `field` must equal, if the selector says so."""
        return next((r.value for r in self.requirements if r.field == field and r.operator == "="), None)

    def __str__(self) -> str:
        return ",".join(f"{r.field}{r.operator}{_escape(r.value)}" for r in self.requirements)


def parse_fields(text: str) -> FieldSelector:
    if len(text) > MAX_SELECTOR_CHARS:
        raise SelectorError(f"selector is too long: may not be more than {MAX_SELECTOR_CHARS} characters")
    return FieldSelector(
        tuple(_field_requirement(term, text) for term in _split_unescaped(text, ",") if term)
    )


def _compare(operator: str, value: str, bound: str) -> bool:
    try:
        return int(value) > int(bound) if operator == "gt" else int(value) < int(bound)
    except ValueError:
        return False


def _tokens(text: str) -> list[str]:
    tokens, position = [], 0
    text = text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise SelectorError(f"unable to parse requirement: found {quote(text[position:])}")
        tokens.append(match[1] or match[2])
        position = match.end()
    return tokens


class _Parser:
    """Recursive descent over the tokens; `""` stands for the end."""

    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.position = 0

    def peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.position += 1
        return token

    def requirements(self) -> Iterable[Requirement]:
        while True:
            yield self.requirement()
            separator = self.take()
            if separator == "":
                return
            if separator != ",":
                raise SelectorError(f"found {quote_plain(separator)}, expected: ',' or 'end of string'")
            if self.peek() in ("", ","):
                raise SelectorError(f"found {quote_plain(self.peek())}, expected: identifier after ','")

    def requirement(self) -> Requirement:
        if self.peek() == "!":
            self.take()
            return _checked(Requirement(self.identifier(), "!"))
        key = self.identifier()
        if self.peek() in ("", ","):
            return _checked(Requirement(key, "exists"))
        operator = self.take()
        match operator:
            case "=" | "==":
                return _checked(Requirement(key, "=", frozenset((self.exact_value(),))))
            case "!=":
                return _checked(Requirement(key, "!=", frozenset((self.exact_value(),))))
            case "in" | "notin":
                return _checked(Requirement(key, operator, self.value_set()))
            case ">" | "<":
                return _checked(
                    Requirement(key, "gt" if operator == ">" else "lt", frozenset((self.exact_value(),)))
                )
        raise SelectorError(
            f"unable to parse requirement: found {quote_plain(operator)}, expected: in, notin, =, ==, !=, gt, lt"
        )

    def identifier(self) -> str:
        token = self.take()
        if token in _SYMBOLS or not token:
            raise SelectorError(
                f"unable to parse requirement: found {quote_plain(token)}, expected: !, identifier, or 'end of string'"
            )
        return token

    def exact_value(self) -> str:
        if self.peek() in ("", ","):
            return ""
        token = self.take()
        if token in _SYMBOLS:
            raise SelectorError(
                f"unable to parse requirement: found {quote_plain(token)}, expected: identifier"
            )
        return token

    def value_set(self) -> frozenset[str]:
        """`(a,b)`; nothing before a comma or the closing bracket is the empty string."""
        opening = self.take()
        if opening != "(":
            raise SelectorError(f"unable to parse requirement: found {quote_plain(opening)}, expected: '('")
        values, last = set[str](), ","
        while True:
            symbol = self.take()
            if symbol in (",", ")"):
                if last == ",":
                    values.add("")
                if symbol == ")":
                    return frozenset(values)
            elif not symbol or symbol in _SYMBOLS or last != ",":
                raise SelectorError(
                    f"unable to parse requirement: found {quote_plain(symbol)}, expected: ',', ')' or identifier"
                )
            else:
                values.add(symbol)
            last = symbol


def quote_plain(text: str) -> str:
    return f"'{text}'"


def _checked(requirement: Requirement) -> Requirement:
    problem = "; ".join(names.label_key(requirement.key))
    if problem:
        raise SelectorError(
            f"unable to parse requirement: <nil>: Invalid value: {quote(requirement.key)}: {problem}"
        )
    for value in requirement.values:
        if requirement.operator in ("gt", "lt"):
            if not re.fullmatch(r"-?[0-9]+", value):
                raise SelectorError(
                    "unable to parse requirement: values[0][" + requirement.key + "]: Invalid value: "
                    f"{quote(value)}: for 'Gt', 'Lt' operators, the value must be an integer"
                )
        elif value_problem := "; ".join(names.label_value(value)):
            raise SelectorError(
                f"unable to parse requirement: values[0][{requirement.key}]: Invalid value: {quote(value)}: {value_problem}"
            )
    return requirement


def _field_requirement(term: str, whole: str) -> FieldRequirement:
    for index, char in enumerate(term):
        if char == "\\":
            break
        for operator in ("!=", "==", "="):
            if term.startswith(operator, index):
                value = _unescape(term[index + len(operator) :])
                return FieldRequirement(term[:index], "!=" if operator == "!=" else "=", value)
    raise SelectorError(f"invalid selector: '{whole}'; can't understand '{term}'")


def _split_unescaped(text: str, separator: str) -> list[str]:
    terms, current, escaped = [], "", False
    for char in text:
        if char == separator and not escaped:
            terms.append(current)
            current = ""
            continue
        escaped = char == "\\" and not escaped
        current += char
    return [*terms, current]


def _unescape(value: str) -> str:
    out, escaped = [], False
    for char in value:
        if escaped:
            if char not in "\\,=":
                raise SelectorError(f"invalid field selector: invalid escape sequence in value: {value}")
            out.append(char)
            escaped = False
        elif char == "\\":
            escaped = True
        elif char in ",=":
            raise SelectorError(f"invalid field selector: unescaped character in value: {value}")
        else:
            out.append(char)
    if escaped:
        raise SelectorError(f"invalid field selector: invalid escape sequence in value: {value}")
    return "".join(out)


def _escape(value: str) -> str:
    return re.sub(r"([\\,=])", r"\\\1", value)
