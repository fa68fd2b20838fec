"""The forgiving half of JSON decoding, as grpc-gateway does it: camelCase names, numbers for enumerations,
nulls.

The fast path is msgspec on the raw bytes, which takes proto names, enumeration names and int64 as string or
number. What it refuses comes here: the document is rewritten by the type's own field table and tried again,
so both halves accept the same messages and an error names the field.
"""

from __future__ import annotations

import base64
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
import orjson

from store.api.errors import BadRequest
from store.mvcc.messages import Request

R = TypeVar("R", bound=Request)

_decoders: dict[type[Request], msgspec.json.Decoder[Any]] = {}


def decode(kind: type[R], body: bytes) -> R:
    """A request of this kind from JSON. Raises BadRequest."""
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind, strict=False)
    try:
        request: R = decoder.decode(body or b"{}")
    except msgspec.MsgspecError:
        return _decode_slowly(kind, body)
    return request


def _decode_slowly(kind: type[R], body: bytes) -> R:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"invalid JSON: {error}") from error
    if not isinstance(document, dict):
        raise BadRequest("the request is no JSON object")
    try:
        return msgspec.convert(_rewrite(kind, document), kind, strict=False)
    except msgspec.MsgspecError as error:
        raise BadRequest(f"invalid request: {error}") from error


def _rewrite(kind: type, document: dict[str, Any]) -> dict[str, Any]:
    fields = _fields(kind)
    rewritten: dict[str, Any] = {}
    for name, value in document.items():
        if value is None:
            continue
        known = fields.get(name)
        if known is None:
            raise BadRequest(f'unknown field "{name}" in {kind.__name__}')
        proto_name, hint = known
        rewritten[proto_name] = _value(hint, value)
    return rewritten


def _value(hint: Any, value: Any) -> Any:
    origin = get_origin(hint)
    if origin is list and isinstance(value, list):
        return [_value(get_args(hint)[0], each) for each in value]
    if origin is Literal and isinstance(value, int) and not isinstance(value, bool):
        names = get_args(hint)  # in the order of their numbers
        return names[value] if 0 <= value < len(names) else value
    if isinstance(hint, type) and issubclass(hint, Request) and isinstance(value, dict):
        return _rewrite(hint, value)
    if hint is bytes and isinstance(value, str):
        return _bytes(value)
    return value


def _bytes(text: str) -> bytes:
    """Base64, in the standard or the URL alphabet, padded or not, as protojson takes it."""
    standard = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except ValueError as error:  # binascii's among them
        raise BadRequest(f"invalid base64: {error}") from error


@cache
def _fields(kind: type) -> dict[str, tuple[str, Any]]:
    """Every accepted name of a field → its proto name and type."""
    hints = get_type_hints(kind)
    fields: dict[str, tuple[str, Any]] = {}
    for field in msgspec.structs.fields(kind):
        hint = _plain(hints[field.name])
        for name in (field.encode_name, _camel(field.encode_name)):
            fields[name] = (field.encode_name, hint)
    return fields


def _plain(hint: Any) -> Any:
    """`X | None` → X; bounds of numbers are dropped."""
    if get_origin(hint) in (Union, UnionType):
        options = [each for each in get_args(hint) if each is not NoneType]
        if len(options) == 1:
            return options[0]
    return hint


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
