"""From text to a tree. Macros (has, all, exists, map, filter, sortBy, cel.bind, optMap …) are unfolded here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn

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
    Struct,
)
from control_plane.apiserver.cel.errors import CompileError, Issue
from control_plane.apiserver.cel.lexer import Token, tokens

MAX_DEPTH = 100
RESERVED = frozenset(
    [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)
_RELATIONS = ("==", "!=", "<", "<=", ">", ">=", "in")
_OPERANDS = (
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, "
    "IDENTIFIER}"
)
_LITERALS = {"true": True, "false": False, "null": None}


def parse(text: str) -> Node:
    """Raises CompileError."""
    return _Parser(text).parse()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._next = 0
        self._depth = 0

    def parse(self) -> Node:
        node = self._expression()
        if self._peek().kind != "end":
            self._unexpected(self._peek())
        return node

    # --- tokens

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._tokens[self._next]
        self._next += 1
        return token

    def _is(self, *texts: str) -> bool:
        token = self._peek()
        return token.kind in ("op", "ident") and token.text in texts and token.value is None

    def _accept(self, text: str) -> Token | None:
        return self._take() if self._is(text) else None

    def _expect(self, text: str) -> Token:
        return self._accept(text) or self._unexpected(self._peek())

    def _unexpected(self, token: Token) -> NoReturn:
        self._fail(token.at, f"Syntax error: mismatched input '{token.text}' expecting <EOF>")

    def _fail(self, at: int, message: str) -> NoReturn:
        raise CompileError(self._text, [Issue(at, message)])

    # --- grammar, loosest first

    def _expression(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(self._peek().at, f"expression recursion limit exceeded: {MAX_DEPTH}")
        condition = self._or()
        if question := self._accept("?"):
            then = self._or()
            self._expect(":")
            condition = Call(question.at, "_?_:_", (condition, then, self._expression()))
        self._depth -= 1
        return condition

    def _or(self) -> Node:
        return self._left(("||",), self._and)

    def _and(self) -> Node:
        return self._left(("&&",), self._relation)

    def _relation(self) -> Node:
        return self._left(_RELATIONS, self._sum)

    def _sum(self) -> Node:
        return self._left(("+", "-"), self._product)

    def _product(self) -> Node:
        return self._left(("*", "/", "%"), self._unary)

    def _left(self, operators: Sequence[str], operand: Callable[[], Node]) -> Node:
        node = operand()
        while self._is(*operators):
            operator = self._take()
            name = "@in" if operator.text == "in" else f"_{operator.text}_"
            node = Call(operator.at, name, (node, operand()))
        return node

    def _unary(self) -> Node:
        if self._is("!"):
            return self._prefixed("!", "!_")
        if self._is("-"):
            following = self._tokens[self._next + 1]
            is_number = following.kind == "literal" and type(following.value) in (int, float)
            if is_number:
                minus, number = self._take(), self._take()
                return self._member(Literal(minus.at, -number.value))
            return self._prefixed("-", "-_")
        return self._member(self._primary())

    def _prefixed(self, sign: str, name: str) -> Node:
        signs = []
        while token := self._accept(sign):
            signs.append(token)
        operand = self._unary()
        return operand if len(signs) % 2 == 0 else Call(signs[0].at, name, (operand,))

    def _member(self, node: Node) -> Node:
        while True:
            if dot := self._accept("."):
                node = self._selected(node, dot)
            elif bracket := self._accept("["):
                optional = self._accept("?") is not None
                index = self._expression()
                self._expect("]")
                node = Call(bracket.at, "_[?_]" if optional else "_[_]", (node, index))
            else:
                return node

    def _selected(self, node: Node, dot: Token) -> Node:
        optional = self._accept("?") is not None
        name = self._take()
        if name.kind != "ident" or (name.text in _LITERALS and name.value is None):
            self._unexpected(name)
        if not optional and (parenthesis := self._accept("(")):
            return self._method(node, name, parenthesis)
        found = Select(dot.at, node, name.text, optional=optional)
        if self._is("{") and (dotted := _dotted(found)):
            return self._struct(dotted, node.at)
        return found

    def _method(self, target: Node, name: Token, parenthesis: Token) -> Node:
        arguments = self._arguments(")")
        macro = self._macro(target, name.text, arguments, parenthesis.at)
        return macro or Call(parenthesis.at, name.text, tuple(arguments), target)

    def _arguments(self, end: str) -> list[Node]:
        found: list[Node] = []
        while not self._is(end):
            found.append(self._expression())
            if not self._accept(","):
                break
        self._expect(end)
        return found

    def _primary(self) -> Node:
        token = self._take()
        if token.kind == "literal":
            if token.value == 1 << 63:
                self._fail(token.at, "invalid int literal")
            return Literal(token.at, token.value)
        if token.kind == "ident" and token.value is None:
            return self._named(token)
        opened = {"(": self._parenthesized, "[": self._list, "{": self._map, ".": self._absolute}
        return opened.get(token.text if token.kind == "op" else "", self._no_operand)(token)

    def _parenthesized(self, opening: Token) -> Node:
        node = self._expression()
        self._expect(")")
        return node

    def _absolute(self, dot: Token) -> Node:
        name = self._take()
        if name.kind != "ident":
            self._unexpected(name)
        return self._named(name)

    def _no_operand(self, token: Token) -> NoReturn:
        word = "mismatched" if token.kind == "end" else "extraneous"
        self._fail(token.at, f"Syntax error: {word} input '{token.text}' expecting {_OPERANDS}")

    def _named(self, token: Token) -> Node:
        if token.text in _LITERALS:
            return Literal(token.at, _LITERALS[token.text])
        if token.text in RESERVED or token.text == "in":
            self._fail(token.at, f"reserved identifier: {token.text}")
        if parenthesis := self._accept("("):
            arguments = self._arguments(")")
            if token.text == "has" and len(arguments) == 1:
                return self._has(arguments[0], parenthesis.at)
            return Call(parenthesis.at, token.text, tuple(arguments))
        if self._is("{"):
            return self._struct(token.text, token.at)
        return Ident(token.at, token.text)

    def _has(self, operand: Node, at: int) -> Node:
        if not isinstance(operand, Select):
            self._fail(at, "invalid argument to has() macro")
        return Select(operand.at, operand.operand, operand.field, test=True, optional=operand.optional)

    def _list(self, opening: Token) -> Node:
        items: list[Node] = []
        optional = set()
        while not self._is("]"):
            if self._accept("?"):
                optional.add(len(items))
            items.append(self._expression())
            if not self._accept(","):
                break
        self._expect("]")
        return ListOf(opening.at, tuple(items), frozenset(optional))

    def _map(self, opening: Token) -> Node:
        entries: list[tuple[Node, Node, bool]] = []
        while not self._is("}"):
            optional = self._accept("?") is not None
            key = self._expression()
            self._expect(":")
            entries.append((key, self._expression(), optional))
            if not self._accept(","):
                break
        self._expect("}")
        return MapOf(opening.at, tuple(entries))

    def _struct(self, name: str, at: int) -> Node:
        self._expect("{")
        fields: list[tuple[str, Node, bool]] = []
        while not self._is("}"):
            optional = self._accept("?") is not None
            field = self._take()
            self._expect(":")
            fields.append((field.text, self._expression(), optional))
            if not self._accept(","):
                break
        self._expect("}")
        return Struct(at, name, tuple(fields))

    # --- macros

    def _macro(self, target: Node, name: str, arguments: list[Node], at: int) -> Node | None:
        if isinstance(target, Ident) and target.name == "cel" and name == "bind" and len(arguments) == 3:
            return Bind(at, "bind", self._variable(arguments[0]), arguments[1], arguments[2])
        if name in ("optMap", "optFlatMap") and len(arguments) == 2:
            return Bind(at, name, self._variable(arguments[0]), target, arguments[1])
        kind, variables, filtered = _MACROS.get((name, len(arguments)), ("", 0, False))
        if not kind:
            return None
        names = tuple(self._variable(each) for each in arguments[:variables])
        rest = arguments[variables:]
        if filtered:
            return Comprehension(at, kind, target, names, rest[1], rest[0])
        return Comprehension(at, kind, target, names, rest[0])

    def _variable(self, node: Node) -> str:
        if not isinstance(node, Ident):
            self._fail(node.at, "argument must be a simple name")
        return node.name


# name and number of arguments -> kind, number of variables, whether a filter comes before the step
_MACROS: dict[tuple[str, int], tuple[str, int, bool]] = {
    ("all", 2): ("all", 1, False),
    ("exists", 2): ("exists", 1, False),
    ("exists_one", 2): ("exists_one", 1, False),
    ("existsOne", 2): ("exists_one", 1, False),
    ("map", 2): ("map", 1, False),
    ("map", 3): ("map", 1, True),
    ("filter", 2): ("filter", 1, False),
    ("sortBy", 2): ("sortBy", 1, False),
    ("all", 3): ("all", 2, False),
    ("exists", 3): ("exists", 2, False),
    ("exists_one", 3): ("exists_one", 2, False),
    ("existsOne", 3): ("exists_one", 2, False),
    ("transformList", 3): ("map", 2, False),
    ("transformList", 4): ("map", 2, True),
    ("transformMap", 3): ("transformMap", 2, False),
    ("transformMap", 4): ("transformMap", 2, True),
    ("transformMapEntry", 3): ("transformMapEntry", 2, False),
    ("transformMapEntry", 4): ("transformMapEntry", 2, True),
}


def _dotted(node: Node) -> str:
    """`a.b.c`, the name of a message; "" for what is no name."""
    names: list[str] = []
    while isinstance(node, Select) and not node.optional and not node.test:
        names.append(node.field)
        node = node.operand
    return ".".join([node.name, *reversed(names)]) if isinstance(node, Ident) else ""
