"""A v2 document as `openapi.v2.Document` protobuf (gnostic), the only form kubectl 1.27 accepts.

Field numbers are those of gnostic's OpenAPIv2.proto; only what `documents` produces is encoded. An `Any`
holds YAML.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_LENGTH_DELIMITED = 2
_METHODS = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 8}


def document(spec: Mapping[str, Any]) -> bytes:
    info = spec["info"]
    parameters = b"".join(
        _message(1, _text(1, name) + _message(2, _parameter(p)))
        for name, p in spec.get("parameters", {}).items()
    )
    return (
        _text(1, spec["swagger"])
        + _message(2, _text(1, info["title"]) + _text(2, info["version"]))
        + addition(spec)
        + _message(10, parameters)
    )


def addition(spec: Mapping[str, Any]) -> bytes:
    """Paths and definitions alone. Appended to a document they add to its own: that is how protobuf merges."""
    paths = b"".join(
        _message(2, _text(1, path) + _message(2, _path(item))) for path, item in spec["paths"].items()
    )
    definitions = b"".join(
        _message(1, _text(1, name) + _message(2, _schema(schema)))
        for name, schema in spec["definitions"].items()
    )
    return _message(8, paths) + _message(9, definitions)


def _path(item: Mapping[str, Any]) -> bytes:
    encoded = b"".join(_message(_METHODS[m], _operation(op)) for m, op in item.items() if m in _METHODS)
    return encoded + b"".join(_message(9, _parameter_item(p)) for p in item.get("parameters", ()))


def _operation(operation: Mapping[str, Any]) -> bytes:
    responses = b"".join(
        _message(1, _text(1, code) + _message(2, _message(1, _response(response))))
        for code, response in operation["responses"].items()
    )
    return (
        b"".join(_text(1, tag) for tag in operation.get("tags", ()))
        + _text(3, operation.get("description"))
        + _text(5, operation.get("operationId"))
        + b"".join(_text(6, media) for media in operation.get("produces", ()))
        + b"".join(_text(7, media) for media in operation.get("consumes", ()))
        + b"".join(_message(8, _parameter_item(p)) for p in operation.get("parameters", ()))
        + _message(9, responses)
        + _extensions(13, operation)
    )


def _response(response: Mapping[str, Any]) -> bytes:
    schema = response.get("schema")
    return _text(1, response["description"]) + (_message(2, _message(1, _schema(schema))) if schema else b"")


def _parameter_item(parameter: Mapping[str, Any]) -> bytes:
    if "$ref" in parameter:
        return _message(2, _text(1, parameter["$ref"]))
    return _message(1, _parameter(parameter))


def _parameter(parameter: Mapping[str, Any]) -> bytes:
    """BodyParameter, or NonBodyParameter's query or path."""
    if parameter["in"] == "body":
        body = (
            _text(1, parameter.get("description"))
            + _text(2, parameter["name"])
            + _text(3, "body")
            + _flag(4, parameter.get("required"))
            + _message(5, _schema(parameter["schema"]))
        )
        return _message(1, body)
    sub = (
        _flag(1, parameter.get("required"))
        + _text(2, parameter["in"])
        + _text(3, parameter.get("description"))
        + _text(4, parameter["name"])
    )
    if parameter["in"] == "path":
        return _message(2, _message(4, sub + _text(5, parameter.get("type"))))
    return _message(2, _message(3, sub + _text(6, parameter.get("type"))))


def _schema(schema: Mapping[str, Any]) -> bytes:
    encoded = (
        _text(1, schema.get("$ref")) + _text(2, schema.get("format")) + _text(4, schema.get("description"))
    )
    if "default" in schema:
        encoded += _message(5, _any(schema["default"]))
    encoded += b"".join(_text(19, name) for name in schema.get("required", ()))
    encoded += b"".join(_message(20, _any(value)) for value in schema.get("enum", ()))
    if additional := schema.get("additionalProperties"):
        encoded += _message(21, _message(1, _schema(additional)))
    if type_ := schema.get("type"):
        encoded += _message(22, _text(1, type_))
    if items := schema.get("items"):
        encoded += _message(23, _message(1, _schema(items)))
    if properties := schema.get("properties"):
        named = (_message(1, _text(1, k) + _message(2, _schema(v))) for k, v in properties.items())
        encoded += _message(25, b"".join(named))
    return encoded + _extensions(31, schema)


def _extensions(number: int, holder: Mapping[str, Any]) -> bytes:
    return b"".join(
        _message(number, _text(1, key) + _message(2, _any(value)))
        for key, value in holder.items()
        if key.startswith("x-")
    )


def _any(value: Any) -> bytes:
    return _text(2, json.dumps(value) + "\n")


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _message(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(content)) + content


def _text(number: int, text: str | None) -> bytes:
    return _message(number, text.encode()) if text else b""


def _flag(number: int, value: object) -> bytes:
    return _varint(number << 3) + b"\x01" if value else b""
