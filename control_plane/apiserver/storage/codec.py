"""The bytes of an object in the store, and in the watch cache.

Stored: compact JSON without `metadata.resourceVersion` (the store's revision is that), with `apiVersion`,
`kind` and `metadata` in front. Because of this order the resourceVersion can be spliced into the bytes without
parsing them:

    {"apiVersion":"v1","kind":"Pod","metadata":{"resourceVersion":"42","name":...

Inside a JSON string quotes are escaped, so the first `"metadata":{` of such a document is the metadata. What was
written by another apiserver in another order, or in protobuf, is parsed once and put in order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

Object = dict[str, Any]

_METADATA = b'"metadata":{'
_HEAD_SIZE_BYTES = 512  # apiVersion and kind fit well before it
_PROTOBUF_MAGIC = b"k8s\x00"


class Undecodable(ValueError):
    """The stored bytes are no object."""


def encode(obj: Object) -> bytes:
    """What is stored for `obj`, whatever resourceVersion it carries."""
    metadata = obj["metadata"]
    if "resourceVersion" in metadata or "selfLink" in metadata:
        metadata = {
            key: value for key, value in metadata.items() if key not in ("resourceVersion", "selfLink")
        }
    head = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata}
    return orjson.dumps({**head, **{key: value for key, value in obj.items() if key not in head}})


def content(obj: Object) -> bytes:
    """What two objects have in common when they say the same: no resourceVersion, fields in order."""
    ignored = ("resourceVersion", "selfLink")
    metadata = {key: value for key, value in obj["metadata"].items() if key not in ignored}
    return orjson.dumps({**obj, "metadata": metadata}, option=orjson.OPT_SORT_KEYS)


def with_revision(
    stored: bytes, revision: int, decode_foreign: Callable[[bytes], Object] | None = None
) -> bytes:
    """The object's JSON with its resourceVersion. Raises Undecodable."""
    if stored.startswith((b'{"apiVersion":', b'{"kind":')):
        at = stored.find(_METADATA, 0, _HEAD_SIZE_BYTES)
        if at > 0:
            at += len(_METADATA)
            separator = b"" if stored[at : at + 1] == b"}" else b","
            return b'%b"resourceVersion":"%d"%b%b' % (stored[:at], revision, separator, stored[at:])
    return encode_with_revision(_parse(stored, decode_foreign), revision)


def encode_with_revision(obj: Object, revision: int) -> bytes:
    return with_revision(encode(obj), revision)


def replace_revision(raw: bytes, revision: int) -> bytes:
    """`raw` (as `with_revision` made it) with another resourceVersion: what a DELETED event carries."""
    start = raw.index(_METADATA) + len(_METADATA)
    end = raw.index(b'"', start + len(b'"resourceVersion":"'))
    return b'%b"resourceVersion":"%d%b' % (raw[:start], revision, raw[end:])


def decode(raw: bytes) -> Object:
    """A fresh object of bytes that hold their resourceVersion."""
    obj: Object = orjson.loads(raw)
    return obj


def decode_stored(
    stored: bytes, revision: int, decode_foreign: Callable[[bytes], Object] | None = None
) -> Object:
    """A fresh object, with its resourceVersion, of the store's bytes. Raises Undecodable."""
    obj = _parse(stored, decode_foreign)
    obj["metadata"]["resourceVersion"] = str(revision)
    return obj


def _parse(stored: bytes, decode_foreign: Callable[[bytes], Object] | None) -> Object:
    try:
        if stored.startswith(_PROTOBUF_MAGIC) and decode_foreign is not None:
            return decode_foreign(stored)
        obj = orjson.loads(stored)
    except ValueError as error:
        raise Undecodable(str(error)) from error
    if not isinstance(obj, dict) or not isinstance(obj.get("metadata"), dict):
        raise Undecodable("not an object")
    if not isinstance(obj.get("apiVersion"), str) or not isinstance(obj.get("kind"), str):
        raise Undecodable("not an object: no apiVersion or kind")
    return obj
