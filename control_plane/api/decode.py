"""Decodes JSON objects as kube-apiserver's decoder and the Go types behind it do, and nothing more.

- null reads as unset, a missing required field is no error here (validation complains in its own words);
- a value of the wrong type raises `DecodeError` in the words of Go's decoder;
- an unknown field is dropped and reported (`unknown field "spec.foo"`): the caller refuses, warns or ignores;
- an empty value of an `omitempty` field is dropped, what Go always writes is added (`resources: {}`);
- quantities, times and base64 take their canonical spelling.

The result shares no container with the input, which stays untouched; it may share free-form JSON.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NoReturn

from control_plane.api import quantity
from control_plane.api.errors import ApiError, quote
from control_plane.api.schema import EMPTY, Node, Object, Type, complete

MAX_DEPTH = 256  # of nesting; deeper objects are refused, as Go's decoder refuses them at 10,000


class DecodeError(ApiError):
    """A value of the wrong type, in the words of Go's JSON decoder."""


@dataclass(slots=True)
class Decoded:
    object: Object
    unknown: list[str] = field(default_factory=list)  # `unknown field "spec.foo"`, in the order found


def decode(node: Node, value: Any) -> Decoded:
    """Check and normalize one JSON object. Raises DecodeError."""
    if type(value) is not dict:
        raise DecodeError(
            f"json: cannot unmarshal {_json_type(value)} into Go value of type {node.go_type()}"
        )
    walk = _Walk()
    return Decoded(walk.struct(node, value), walk.unknown)


def strict_error(version: str, kind: str, problems: list[str]) -> str:
    """The message of the 400 that strict field validation gives."""
    return decode_error(version, kind, "strict decoding error: " + ", ".join(problems))


def decode_error(version: str, kind: str, why: str) -> str:
    return f"{kind} in version {quote(version)} cannot be handled as a {kind}: {why}"


class _Walk:
    """One pass over one object. `path` is where it stands: field names, and list indices as ints."""

    __slots__ = ("path", "structs", "unknown")

    def __init__(self) -> None:
        self.path: list[str | int] = []
        self.structs: list[str] = []
        self.unknown: list[str] = []

    def struct(self, node: Node, value: Any) -> Object:
        if type(value) is not dict:
            self.fail(node, _json_type(value))
        fields = node.fields
        path = self.path
        self.structs.append(node.go_struct)
        if len(path) > MAX_DEPTH:
            raise DecodeError("json: exceeded max depth")
        out: Object = {}
        for key, item in value.items():
            if item is None:
                continue
            child = fields.get(key)
            if child is None:
                if node.preserve_unknown:
                    out[key] = item
                else:
                    self.unknown.append(f"unknown field {quote(self.where(key))}")
                continue
            kind = child.type
            if kind == 0 and type(item) is str:  # strings are most of what there is
                if item or not child.drop_empty:
                    out[key] = item
                continue
            path.append(key)
            decoded = _DECODERS[kind](self, child, item)
            path.pop()
            if decoded or kind == 3 or not child.drop_empty:
                out[key] = decoded
        for key, child in node.always:
            if key not in out:
                out[key] = complete(child, {}) if child.type is Type.STRUCT else EMPTY[child.type]
        self.structs.pop()
        return out

    def value(self, node: Node, item: Any) -> Any:
        return _DECODERS[node.type](self, node, item)

    def string(self, node: Node, item: Any) -> str:
        if type(item) is not str:
            self.fail(node, _json_type(item))
        return item

    def integer(self, node: Node, item: Any) -> int:
        if type(item) is not int:
            self.fail(node, _json_type(item))
        if not -(1 << (node.bits - 1)) <= item < 1 << (node.bits - 1):
            self.fail(node, f"number {item}")
        return item

    def boolean(self, node: Node, item: Any) -> bool:
        if type(item) is not bool:
            self.fail(node, _json_type(item))
        return item

    def number(self, node: Node, item: Any) -> Any:
        if type(item) not in (int, float):
            self.fail(node, _json_type(item))
        return item

    def base64(self, node: Node, item: Any) -> str:
        if type(item) is not str:
            self.fail(node, _json_type(item))
        return _base64(item)

    def quantity(self, node: Node, item: Any) -> str:
        return _quantity(item)

    def any(self, node: Node, item: Any) -> Any:
        return item

    def array(self, node: Node, items: Any) -> list[Any]:
        if type(items) is not list:
            self.fail(node, _json_type(items))
        child = node.element
        assert child is not None, "a list has elements"
        path = self.path
        if child.type is Type.STRING:
            for item in items:
                if type(item) is not str and item is not None:
                    self.fail(child, _json_type(item))
            return [item or "" for item in items]
        out = []
        for index, item in enumerate(items):
            path.append(index)
            out.append(self.value(child, item) if item is not None else self.zero(child))
            path.pop()
        return out

    def map(self, node: Node, items: Any) -> Object:
        if type(items) is not dict:
            self.fail(node, _json_type(items))
        child = node.element
        assert child is not None, "a map has values"
        if child.type is Type.STRING:
            for item in items.values():
                if type(item) is not str and item is not None:
                    self.fail(child, _json_type(item))
            return {key: item or "" for key, item in items.items()}
        out = {}
        for key, item in items.items():
            self.path.append(key)
            out[key] = self.value(child, item) if item is not None else self.zero(child)
            self.path.pop()
        return out

    def zero(self, node: Node) -> Any:
        """What a null element reads as."""
        if node.type is Type.STRUCT:
            return complete(node, {})
        if node.type in (Type.ARRAY, Type.MAP):
            return [] if node.type is Type.ARRAY else {}
        if node.type is Type.QUANTITY:
            return "0"
        return EMPTY.get(node.type)

    def int_or_string(self, node: Node, item: Any) -> int | str:
        if type(item) is str:
            return item
        if type(item) is int and -(1 << 31) <= item < 1 << 31:
            return item
        shown = f"number {item}" if type(item) in (int, float) else _json_type(item)
        raise DecodeError(f"json: cannot unmarshal {shown} into Go value of type int32")

    def time(self, node: Node, item: Any) -> str:
        if type(item) is not str:
            raise DecodeError(f"json: cannot unmarshal {_json_type(item)} into Go value of type string")
        return _micro_time(item) if node.type is Type.MICRO_TIME else _time(item)

    def where(self, key: str) -> str:
        path = ""
        for step in (*self.path, key):
            path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
        return path

    def fail(self, node: Node, what: str) -> NoReturn:
        stack = ".".join(step for step in self.path if isinstance(step, str))
        holder = self.structs[-1] if self.structs else ""
        raise DecodeError(
            f"json: cannot unmarshal {what} into Go struct field {holder}.{stack} of type {node.go_type()}"
        )


_DECODERS: dict[int, Callable[[_Walk, Node, Any], Any]] = {
    Type.STRING: _Walk.string,
    Type.INTEGER: _Walk.integer,
    Type.BOOLEAN: _Walk.boolean,
    Type.STRUCT: _Walk.struct,
    Type.ARRAY: _Walk.array,
    Type.MAP: _Walk.map,
    Type.NUMBER: _Walk.number,
    Type.BYTES: _Walk.base64,
    Type.QUANTITY: _Walk.quantity,
    Type.INT_OR_STRING: _Walk.int_or_string,
    Type.TIME: _Walk.time,
    Type.MICRO_TIME: _Walk.time,
    Type.ANY: _Walk.any,
}


def _json_type(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case float():
            return f"number {value}"
        case int():
            return "number"
        case list():
            return "array"
        case None:
            return "null"
    return "object"


def _quantity(item: Any) -> str:
    if type(item) not in (str, int, float):
        raise DecodeError(quantity.FORMAT_MESSAGE)
    try:
        return _canonical_quantity(item)
    except quantity.QuantityError as error:
        raise DecodeError(str(error)) from None


@lru_cache(maxsize=4096)
def _canonical_quantity(item: str | int | float) -> str:
    return quantity.canonical(item)


def _base64(text: str) -> str:
    compact = text.translate({10: None, 13: None}) if "\n" in text or "\r" in text else text
    try:
        binascii.a2b_base64(compact, strict_mode=True)
    except (binascii.Error, ValueError):
        raise DecodeError(f"illegal base64 data at input byte {_first_bad_byte(compact)}") from None
    return compact


def _first_bad_byte(text: str) -> int:
    alphabet = re.match(r"[A-Za-z0-9+/]*", text, re.ASCII)
    assert alphabet is not None, "the pattern matches the empty string"
    good = alphabet.end()
    return good if good < len(text) else good - good % 4


_UTC_SECONDS = re.compile(r"[0-9]{4}-[0-1][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z", re.ASCII)
_UTC_MICROS = re.compile(
    r"[0-9]{4}-[0-1][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z", re.ASCII
)
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)


def _time(text: str) -> str:
    if _UTC_SECONDS.fullmatch(text):
        return text
    return _parse_time(text).strftime("%Y-%m-%dT%H:%M:%SZ")


def _micro_time(text: str) -> str:
    if _UTC_MICROS.fullmatch(text):
        return text
    return _parse_time(text).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _parse_time(text: str) -> datetime:
    match = _RFC3339.fullmatch(text)
    try:
        if match is None:
            raise ValueError(text)
        zone = "+00:00" if match[3] == "Z" else match[3]
        return datetime.fromisoformat(match[1] + (match[2] or "")[:7] + zone).astimezone(UTC)
    except (ValueError, OverflowError):
        raise DecodeError(
            f'parsing time {quote(text)} as "2006-01-02T15:04:05Z07:00": cannot parse {quote(text)} as "2006"'
        ) from None
