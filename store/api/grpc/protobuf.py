"""The protobuf wire format, as far as etcd's messages need it.

Reading is driven by a table per message (`Message`): field number → name, type. Unknown fields are skipped,
as protobuf wants it; what contradicts the table or the format is `Malformed`. Writing is done by small
functions that leave out zeroes and empties, as proto3 does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_DEPTH = 64  # of nested messages; a transaction in a transaction costs two


class Malformed(Exception):
    """The bytes are not the message they should be."""


# -- writing -------------------------------------------------------------------------------------------


def varint(number: int) -> bytes:
    """A number as its two's complement in 64 bits, seven bits per byte."""
    if 0 <= number < 0x80:
        return _SHORT[number]
    number &= 0xFFFFFFFFFFFFFFFF
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


_SHORT = [bytes((number,)) for number in range(0x80)]


def number_field(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value) if value else b""


def bytes_field(field: int, value: bytes) -> bytes:
    return varint(field << 3 | BYTES) + varint(len(value)) + value if value else b""


def text_field(field: int, value: str) -> bytes:
    return bytes_field(field, value.encode())


def message_field(field: int, value: bytes) -> bytes:
    """A nested message; there also when it is empty."""
    return varint(field << 3 | BYTES) + varint(len(value)) + value


# -- reading -------------------------------------------------------------------------------------------

T = TypeVar("T", bound=msgspec.Struct)
Reader = Callable[[Any, int], Any]  # (wire value, depth) → value


class Field:
    __slots__ = ("name", "read", "repeated", "wire")

    def __init__(self, name: str, hint: Any) -> None:
        self.name = name
        self.repeated = get_origin(hint) is list
        self.wire, self.read = _reader(get_args(hint)[0] if self.repeated else hint)


def _reader(hint: Any) -> tuple[int, Reader]:
    options = [each for each in get_args(hint) if each is not type(None)]
    if get_origin(hint) is Annotated:
        unsigned = any(isinstance(each, msgspec.Meta) and each.ge == 0 for each in options)
        return (VARINT, _unsigned) if unsigned else (VARINT, _signed)
    if get_origin(hint) is Literal:
        return VARINT, _enumeration(options)
    if options and type(None) in get_args(hint):
        hint = options[0]
    if hint is bytes:
        return BYTES, lambda value, depth: value
    if hint is str:
        return BYTES, _text
    if hint is bool:
        return VARINT, lambda value, depth: value != 0
    if hint is int:
        return VARINT, _signed
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return BYTES, lambda value, depth: read(hint, value, depth + 1)
    raise TypeError(f"no wire type for {hint!r}")


def _signed(value: int, depth: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _unsigned(value: int, depth: int) -> int:
    return value


def _enumeration(names: list[str]) -> Reader:
    def reader(value: int, depth: int) -> str:
        if value >= len(names):
            raise Malformed("unknown value of an enumeration")
        return names[value]

    return reader


def _text(value: bytes, depth: int) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Malformed("invalid UTF-8") from None


_tables: dict[type[msgspec.Struct], dict[int, Field]] = {}
_numbers: dict[type[msgspec.Struct], Mapping[str, int]] = {}


def declare(kind: type[msgspec.Struct], numbers: str) -> None:
    """`numbers` is "name:number …"; the types are the struct's own."""
    _numbers[kind] = {name: int(number) for name, number in (each.split(":") for each in numbers.split())}


def _table(kind: type[msgspec.Struct]) -> dict[int, Field]:
    hints = get_type_hints(kind, include_extras=True)
    table = {number: Field(name, hints[name]) for name, number in _numbers[kind].items()}
    _tables[kind] = table
    return table


def read(kind: type[T], data: bytes, depth: int = 0) -> T:
    """A message of this kind. Raises Malformed."""
    if depth > MAX_DEPTH:
        raise Malformed("nested too deeply")
    table = _tables.get(kind) or _table(kind)
    values: dict[str, Any] = {}
    position, end = 0, len(data)
    try:
        while position < end:
            tag = data[position]
            position += 1
            if tag >= 0x80:
                tag, position = _varint(data, position - 1)
            wire = tag & 7
            if wire == BYTES:
                size = data[position]
                position += 1
                if size >= 0x80:
                    size, position = _varint(data, position - 1)
                value: Any = data[position : position + size]
                position += size
                if position > end:
                    raise Malformed("a field is cut off")
            elif wire == VARINT:
                value = data[position]
                position += 1
                if value >= 0x80:
                    value, position = _varint(data, position - 1)
            elif wire in (FIXED64, FIXED32):
                value = None
                position += 8 if wire == FIXED64 else 4
            else:
                raise Malformed("unknown wire type")
            field = table.get(tag >> 3)
            if field is not None:
                _store(values, field, wire, value, depth)
    except IndexError:
        raise Malformed("the message is cut off") from None
    if position > end:
        raise Malformed("the message is cut off")
    return kind(**values)


def _store(values: dict[str, Any], field: Field, wire: int, value: Any, depth: int) -> None:
    if wire != field.wire:
        if not (field.repeated and wire == BYTES and field.wire == VARINT):
            raise Malformed(f"field {field.name} has the wrong type")
        values.setdefault(field.name, []).extend(field.read(each, depth) for each in _packed(value))
    elif field.repeated:
        values.setdefault(field.name, []).append(field.read(value, depth))
    else:
        values[field.name] = field.read(value, depth)


def _packed(data: bytes) -> list[int]:
    numbers: list[int] = []
    position = 0
    while position < len(data):
        number, position = _varint(data, position)
        numbers.append(number)
    return numbers


def _varint(data: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & 0xFFFFFFFFFFFFFFFF, position
        shift += 7
        if shift > 63:
            raise Malformed("a number is too long")
