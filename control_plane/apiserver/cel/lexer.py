"""Tokens of CEL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from control_plane.apiserver.cel.errors import CompileError, Issue
from control_plane.apiserver.cel.values import Uint

MAX_EXPRESSION_CHARS = 100_000

_TOKEN = re.compile(
    r"""(?P<space>[\s\f]+|//[^\n]*)
      | (?P<float>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)
      | (?P<uint>0x[0-9a-fA-F]+[uU]|\d+[uU])
      | (?P<int>0x[0-9a-fA-F]+|\d+)
      | (?P<string>(?:[rR][bB]?|[bB][rR]?)?(?:\"\"\"(?:[^\\]|\\.)*?\"\"\"|'''(?:[^\\]|\\.)*?'''
            |\"(?:[^\"\\\n\r]|\\.)*\"|'(?:[^'\\\n\r]|\\.)*'))
      | (?P<raw>(?:[rR][bB]?|[bB][rR])(?:\"[^\"\n]*\"|'[^'\n]*'))
      | (?P<ident>[_a-zA-Z][_a-zA-Z0-9]*)
      | (?P<quoted>`[a-zA-Z0-9_.\-/ ]+`)
      | (?P<op>==|!=|<=|>=|&&|\|\||[-+*/%<>!?:.,()\[\]{}])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\?\"'`])|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2}))",
    re.DOTALL,
)
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_INT64 = range(-(1 << 63), (1 << 63) + 1)  # 1 << 63 stands only after a minus


@dataclass(frozen=True, slots=True)
class Token:
    kind: str  # ident, op, literal, end
    text: str
    at: int
    value: Any = None


def tokens(text: str) -> list[Token]:
    """Raises CompileError."""
    if len(text) > MAX_EXPRESSION_CHARS:
        why = f"expression code point size exceeds limit: size: {len(text)}, limit {MAX_EXPRESSION_CHARS}"
        raise CompileError(text, [Issue(0, why)])
    found: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            shown = repr(text[at])
            raise CompileError(text, [Issue(at, f"Syntax error: token recognition error at: {shown}")])
        kind = str(match.lastgroup)
        if kind != "space":
            found.append(_token(text, kind, match[0], at))
        at = match.end()
    found.append(Token("end", "<EOF>", len(text)))
    return found


def _token(text: str, kind: str, piece: str, at: int) -> Token:
    match kind:
        case "ident" | "op":
            return Token(kind, piece, at)
        case "quoted":
            return Token("ident", piece[1:-1], at, "quoted")
        case "float":
            return Token("literal", piece, at, float(piece))
        case "int":
            value = int(piece, 16 if piece.startswith("0x") else 10)
            if value not in _INT64:
                raise CompileError(text, [Issue(at, "invalid int literal")])
            return Token("literal", piece, at, value)
        case "uint":
            number = int(piece[:-1], 16 if piece.startswith("0x") else 10)
            if number >= 1 << 64:
                raise CompileError(text, [Issue(at, "invalid uint literal")])
            return Token("literal", piece, at, Uint(number))
    return Token("literal", piece, at, _string(text, piece, at))


def _string(text: str, piece: str, at: int) -> str | bytes:
    quote_at = next(index for index, each in enumerate(piece) if each in "\"'")
    prefix, quoted = piece[:quote_at].lower(), piece[quote_at:]
    width = 3 if quoted[:3] in ('"""', "'''") and len(quoted) >= 6 else 1
    inner = quoted[width:-width]
    if "r" in prefix:
        return inner.encode() if "b" in prefix else inner
    if "b" in prefix:
        return _unescape_bytes(text, inner, at)
    return _unescape(text, inner, at)


def _unescape(text: str, inner: str, at: int) -> str:
    def one(match: re.Match[str]) -> str:
        if match[1]:
            return _SIMPLE.get(match[1], match[1])
        digits = match[2] or match[3] or match[4]
        return chr(int(digits, 16) if digits else int(match[5], 8))

    _check_escapes(text, inner, at)
    try:
        return _ESCAPE.sub(one, inner)
    except (ValueError, OverflowError):
        raise CompileError(text, [Issue(at, "invalid unicode code point")]) from None


def _unescape_bytes(text: str, inner: str, at: int) -> bytes:
    _check_escapes(text, inner, at)
    out = bytearray()
    position = 0
    for match in _ESCAPE.finditer(inner):
        out += inner[position : match.start()].encode()
        if match[1]:
            out += _SIMPLE.get(match[1], match[1]).encode()
        else:
            digits = match[2] or match[3] or match[4]
            value = int(digits, 16) if digits else int(match[5], 8)
            out += bytes([value]) if match[2] or match[5] else chr(value).encode()
        position = match.end()
    return bytes(out + inner[position:].encode())


def _check_escapes(text: str, inner: str, at: int) -> None:
    if "\\" in _ESCAPE.sub("", inner):
        raise CompileError(text, [Issue(at, "unable to unescape string")])
