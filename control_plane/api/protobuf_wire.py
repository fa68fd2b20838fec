"""Messages on the wire, driven by the table of field numbers: bytes to JSON values and back.

Message types are compiled when they are first used. Times, quantities and the like are remembered, because an
object repeats few of them often.
"""

from __future__ import annotations

import struct
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from control_plane.api import protobuf_special as special
from control_plane.api.sources import protobuf_messages

Object = dict[str, Any]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

MAX_DEPTH = 100  # of nested messages


SMALL_VALUES = 8192  # times, quantities and the like that are remembered


_SIGN_64 = 1 << 63


_EMPTY: tuple[Any, ...] = ("", 0, False)


class Field:
    __slots__ = ("drop_empty", "inline", "kind", "message", "name", "number", "repeated", "tag", "type")

    def __init__(self, row: list[Any]) -> None:
        self.number, self.name, self.type, how, flags = row
        self.repeated = how == "repeated"
        self.kind = how or self.type
        self.inline = "i" in flags
        self.drop_empty = "o" in flags and "p" not in flags
        wire = {"int32": _VARINT, "int64": _VARINT, "bool": _VARINT, "double": _FIXED64}.get(
            self.type, _BYTES
        )
        self.tag = _varint(self.number << 3 | (_BYTES if how == "map" else wire))
        self.message: Message | None = None


class Message:
    """One message type. Nested types are looked up once, when the type is first used."""

    __slots__ = ("by_name", "by_number", "inlined", "linked", "name", "special")

    def __init__(self, name: str, rows: list[list[Any]]) -> None:
        self.name = name
        self.special = special.CODECS.get(name) or special.for_shape(name, rows)
        fields = [Field(row) for row in rows]
        self.by_number = {field.number: field for field in fields}
        self.by_name = {field.name: field for field in fields if not field.inline}
        self.inlined = [field for field in fields if field.inline]
        self.linked = False

    def link(self) -> Message:
        if not self.linked:
            for field in self.by_number.values():
                if field.type.startswith("k8s."):
                    field.message = message_type(field.type)
                    known = field.message.special
                    if known and known.small and field.kind == field.type:
                        field.kind = "small"
            self.linked = True
        return self


@lru_cache(maxsize=1)
def table() -> dict[str, list[list[Any]]]:
    return protobuf_messages()


_messages: dict[str, Message] = {}


def message_type(name: str) -> Message:
    found = _messages.get(name)
    if found is None:
        found = _messages[name] = Message(name, table()[name])
    return found


def decode(message: Message, data: bytes, depth: int, raw_bytes: bool = False) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError("exceeded max depth")
    fields = (message if message.linked else message.link()).by_number
    out: Object = {}
    position, end = 0, len(data)
    while position < end:
        tag = data[position]
        position += 1
        if tag > 127:
            tag, position = _read_varint(data, position - 1)
        wire = tag & 7
        content: Any
        if wire == _BYTES:
            length = data[position]
            position += 1
            if length > 127:
                length, position = _read_varint(data, position - 1)
            if position + length > end:
                raise ValueError("unexpected EOF")
            content = data[position : position + length]
            position += length
        elif wire == _VARINT:
            content = data[position]
            position += 1
            if content > 127:
                content, position = _read_varint(data, position - 1)
        elif wire == _FIXED64:
            (content,) = struct.unpack_from("<d", data, position)
            position += 8
        elif wire == _FIXED32:
            (content,) = struct.unpack_from("<f", data, position)
            position += 4
        else:
            raise ValueError(f"illegal wireType {wire}")
        field = fields.get(tag >> 3)
        if field is None:
            continue
        if field.kind == "string" and type(content) is bytes:  # most of what there is
            if content or not field.drop_empty:
                out[field.name] = content.decode()
        elif field.kind == "small" and type(content) is bytes:
            value = _small(field.type, content)
            if value is not None:
                out[field.name] = value
        else:
            _take(field, content, wire, out, depth, raw_bytes)
    codec = message.special
    return codec.from_message(out) if codec else out


@lru_cache(maxsize=SMALL_VALUES)
def _small(name: str, content: bytes) -> Any:
    """A time, quantity or int-or-string; None is a time that is not set."""
    return decode(message_type(name), content, 0)


@lru_cache(maxsize=SMALL_VALUES)
def _encode_small(name: str, value: Any) -> bytes:
    return encode(message_type(name), value)


def _take(field: Field, content: Any, wire: int, out: Object, depth: int, raw_bytes: bool) -> None:
    kind = field.kind
    if kind == "map":
        key, value = _entry(field, content, depth)
        out.setdefault(field.name, {})[key] = value
        return
    if field.repeated:
        if wire == _BYTES and field.type in ("int32", "int64", "bool"):
            out.setdefault(field.name, []).extend(_packed(field, content))
        else:
            out.setdefault(field.name, []).append(_value(field, content, depth))
        return
    if kind == "bytes" and raw_bytes:
        out[field.name] = _bytes(content)
        return
    value = _value(field, content, depth)
    if field.inline:
        out |= value
    elif field.message is None:
        if not (field.drop_empty and value in _EMPTY):
            out[field.name] = value
    elif value is not None:
        if field.name in out and isinstance(value, dict):  # a message sent in parts is merged
            value = out[field.name] | value
        if not (field.drop_empty and value == []):
            out[field.name] = value


def _value(field: Field, content: Any, depth: int) -> Any:
    if field.message is not None:
        if field.kind != field.type and field.message.special and field.message.special.small:
            return _small(field.type, _bytes(content))
        return decode(field.message, _bytes(content), depth + 1)
    match field.type:
        case "string":
            return _bytes(content).decode()
        case "bool":
            return bool(content)
        case "bytes":
            return b2a_base64(_bytes(content), newline=False).decode("ascii")
        case "double":
            return int(content) if isinstance(content, float) and content.is_integer() else content
    if not isinstance(content, int):
        raise ValueError(f"wrong wireType for field {field.name}")
    return content - (1 << 64) if content & _SIGN_64 else content


def _bytes(content: Any) -> bytes:
    if type(content) is not bytes:
        raise ValueError("wrong wireType")
    return content


def _packed(field: Field, content: bytes) -> list[Any]:
    values, position = [], 0
    while position < len(content):
        number, position = _read_varint(content, position)
        values.append(_value(field, number, 0))
    return values


def _entry(field: Field, content: Any, depth: int) -> tuple[str, Any]:
    """A map travels as repeated messages of key (1) and value (2)."""
    key, value = "", None
    data, position = _bytes(content), 0
    while position < len(data):
        tag, position = _read_varint(data, position)
        if tag & 7 == _VARINT:
            part: Any
            part, position = _read_varint(data, position)
        else:
            length, position = _read_varint(data, position)
            part = data[position : position + length]
            position += length
        if tag >> 3 == 1:
            key = _bytes(part).decode()
        else:
            value = _value(field, part, depth)
    if value is None:
        value = _value(field, b"", depth) if field.type not in ("int32", "int64", "bool") else 0
    return key, value


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[position]
        position += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number & (1 << 64) - 1, position
        shift += 7
        if shift > 63:
            raise ValueError("integer overflow")


def encode(message: Message, obj: Any) -> bytes:
    if not message.linked:
        message.link()
    if message.special:
        obj = message.special.to_message(obj)
    out = bytearray()
    fields = message.by_name
    rest: Object | None = {} if message.inlined else None
    for key, value in obj.items():
        field = fields.get(key)
        if value is None:
            continue
        if field is None:
            if rest is not None:
                rest[key] = value
        elif field.kind == "string":
            raw = value.encode()
            out += field.tag
            if len(raw) < 128:
                out.append(len(raw))
            else:
                out += _varint(len(raw))
            out += raw
        elif field.kind == "map":
            for name, item in value.items():
                entry = delimited(b"\x0a", name.encode()) + _single(field, item, b"\x12")
                out += field.tag + _varint(len(entry)) + entry
        elif field.repeated:
            for item in value:
                out += _single(field, item, field.tag)
        else:
            out += _single(field, value, field.tag)
    for inline in message.inlined:
        assert inline.message is not None
        if inner := encode(inline.message, rest):
            out += delimited(inline.tag, inner)
    return bytes(out)


def _single(field: Field, value: Any, tag: bytes) -> bytes:
    if field.message is not None:
        if field.message.special and field.message.special.small:
            return delimited(tag, _encode_small(field.type, value))
        return delimited(tag, encode(field.message, value))
    return _SCALARS[field.type](tag, value)


def delimited(tag: bytes, content: bytes) -> bytes:
    size = len(content)
    return tag + (_ONE_BYTE[size] if size < 128 else _varint(size)) + content


_ONE_BYTE = tuple(bytes((number,)) for number in range(128))


def _varint(number: int) -> bytes:
    if 0 <= number < 128:
        return _ONE_BYTE[number]
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _raw(value: Any) -> bytes:
    return value if isinstance(value, bytes) else a2b_base64(value)


_SCALARS: dict[str, Callable[[bytes, Any], bytes]] = {
    "string": lambda tag, value: delimited(tag, value.encode()),
    "bytes": lambda tag, value: delimited(tag, _raw(value)),
    "int32": lambda tag, value: tag + _varint(value),
    "int64": lambda tag, value: tag + _varint(value),
    "bool": lambda tag, value: tag + (b"\x01" if value else b"\x00"),
    "double": lambda tag, value: tag + struct.pack("<d", value),
}
