"""The API's protobuf form (`application/vnd.kubernetes.protobuf`), both ways, from the table of field
numbers.

A body is the magic `k8s\\0`, then a `runtime.Unknown` that names apiVersion and kind and holds the object's
message. Decoding gives the JSON object that Go would write for the same message: Go sends unset values as
zeros, so that zeros of `omitempty` fields that are no pointers are dropped. Encoding leaves out what the
JSON leaves out.

Custom resources have no messages: `ProtobufError` says so, the apiserver answers 415 or falls back to JSON.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any

from control_plane.api import protobuf_wire as wire
from control_plane.api.errors import ApiError
from control_plane.api.resources import definition_name
from control_plane.api.sources import message_name

Object = dict[str, Any]

MAGIC = b"k8s\x00"
MEDIA_TYPE = "application/vnd.kubernetes.protobuf"

_META = "k8s.io.apimachinery.pkg.apis.meta.v1."


class ProtobufError(ApiError):
    """Not a Kubernetes protobuf body, or a kind that has no message."""


@lru_cache(maxsize=1024)
def _message_of(api_version: str, kind: str) -> wire.Message | None:
    group, _, version = api_version.rpartition("/")
    for name in (message_name(definition_name(group, version, kind)), _META + kind):
        if name in wire.table():
            return wire.message_type(name)
    return None


def supports(api_version: str, kind: str) -> bool:
    return _message_of(api_version, kind) is not None


def decode(body: bytes, registry: object = None) -> tuple[str, str, Object]:
    """A whole body -> (apiVersion, kind, object). `registry` is not needed: the table names every message."""
    if not body.startswith(MAGIC):
        raise ProtobufError(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
        )
    try:
        unknown = decode_message(
            "k8s.io.apimachinery.pkg.runtime.Unknown", body[len(MAGIC) :], raw_bytes=True
        )
        api_version, kind = unknown.get("apiVersion", ""), unknown.get("kind", "")
        message = _message_of(api_version, kind)
        if message is None:
            raise ProtobufError(f'no kind "{kind}" is registered for version "{api_version}"')
        obj = wire.decode(message, unknown.get("-", b""), 0)
    except (IndexError, struct.error, UnicodeDecodeError, ValueError, OverflowError) as error:
        raise ProtobufError(f"proto: {error}") from None
    return api_version, kind, {"apiVersion": api_version, "kind": kind, **obj}


def encode(obj: Object, registry: object = None) -> bytes:
    """An object with apiVersion and kind -> a whole body."""
    api_version, kind = obj.get("apiVersion", ""), obj.get("kind", "")
    message = _message_of(api_version, kind)
    if message is None:
        raise ProtobufError(f"{kind} in version {api_version} has no protobuf form")
    raw = wire.encode(message, obj)
    type_meta = wire.delimited(b"\x0a", api_version.encode()) + wire.delimited(b"\x12", kind.encode())
    # contentEncoding and contentType are always there, as Go writes them.
    return MAGIC + wire.delimited(b"\x0a", type_meta) + wire.delimited(b"\x12", raw) + b"\x1a\x00\x22\x00"


def encode_watch_event(event_type: str, encoded_object: bytes) -> bytes:
    """A frame of a watch stream: four bytes of length, then a WatchEvent around an encoded object."""
    holder = wire.delimited(b"\x0a", encoded_object)
    event = wire.delimited(b"\x0a", event_type.encode()) + wire.delimited(b"\x12", holder)
    return struct.pack(">I", len(event)) + event


def decode_message(name: str, raw: bytes, raw_bytes: bool = False) -> Object:
    """One message by its protobuf name; `raw_bytes` keeps bytes instead of base64."""
    decoded: Object = wire.decode(wire.message_type(name), bytes(raw), 0, raw_bytes)
    return decoded
