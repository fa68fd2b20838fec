"""Objects as a Go client sends them: protobuf in which every field that is no pointer is written, set or not."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from control_plane.api import protobuf, protobuf_special, protobuf_wire
from control_plane.api.resources import definition_name
from control_plane.api.sources import message_name

Object = dict[str, Any]

_ZEROS: dict[str, Any] = {"string": "", "int32": 0, "int64": 0, "bool": False, "double": 0}
_INT_OR_STRING = "k8s.io.apimachinery.pkg.util.intstr.IntOrString"
_WATCH_EVENT = "k8s.io.apimachinery.pkg.apis.meta.v1.WatchEvent"


def encode(obj: Object) -> bytes:
    group, _, version = obj["apiVersion"].rpartition("/")
    message = message_name(definition_name(group, version, obj["kind"]))
    if message in protobuf_wire.table():
        obj = _filled(message, obj)
    return protobuf.encode(obj)


def decode(body: bytes) -> Object:
    return protobuf.decode(body)[2]


def _filled(message: str, obj: Object) -> Object:
    """The object with Go's zero values where nothing is set."""
    if message in protobuf_special.CODECS or not isinstance(obj, dict):
        return obj
    filled = dict(obj)
    for _, name, kind, how, flags in protobuf_wire.table()[message]:
        struct_type = kind.startswith("k8s.") and kind not in protobuf_special.CODECS
        if "i" in flags:
            filled = _filled(kind, filled)
        elif name in filled and struct_type:
            filled[name] = _nested(kind, how, filled[name])
        elif name in filled or how or "p" in flags:
            continue
        elif kind in _ZEROS:
            filled[name] = _ZEROS[kind]
        elif kind == _INT_OR_STRING:
            filled[name] = 0
        elif struct_type:
            filled[name] = _filled(kind, {})
    return filled


def _nested(kind: str, how: str, value: Any) -> Any:
    if value is None:
        return None
    if how == "repeated":
        return [_filled(kind, item) for item in value]
    if how == "map":
        return {key: _filled(kind, item) for key, item in value.items()}
    return _filled(kind, value) if isinstance(value, dict) else value


def events(read: Any) -> Iterator[tuple[str, Object]]:
    """The events of a watch in protobuf: frames with their length in front. `read(n)` gives n bytes or fewer."""
    while len(header := read(4)) == 4:
        (size,) = struct.unpack(">I", header)
        event = protobuf.decode_message(_WATCH_EVENT, read(size))
        yield event["type"], event["object"]
