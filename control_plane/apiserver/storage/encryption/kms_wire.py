"""Messages of KMS v2, on the wire and in the store: few fields, all of them bytes, strings, maps of those, and one
enumeration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from control_plane.api.protobuf_wire import delimited

MAX_KEY_ID_BYTES = MAX_SEED_SOURCE_BYTES = 1024
MAX_ANNOTATIONS_BYTES = 32 * 1024
HKDF_SEED = 1  # EncryptedDEKSourceType: how the data's key follows from the seed; 0: the seed is the key


class Broken(ValueError):
    """Not a message."""


class KmsFailed(Exception):
    """The service has given no usable answer."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A seed as the service has encrypted it."""

    source: bytes
    key_id: str
    annotations: Mapping[str, bytes] = field(default_factory=dict)

    def check(self) -> None:
        """Raises KmsFailed."""
        if not self.source or len(self.source) > MAX_SEED_SOURCE_BYTES:
            raise KmsFailed(f"the encrypted seed has {len(self.source)} bytes")
        if not self.key_id or len(self.key_id.encode()) > MAX_KEY_ID_BYTES:
            raise KmsFailed("the keyID is empty or too long")
        if sum(len(key) + len(value) for key, value in self.annotations.items()) > MAX_ANNOTATIONS_BYTES:
            raise KmsFailed("the annotations are too long")

    @property
    def identity(self) -> tuple[bytes, str, tuple[tuple[str, bytes], ...]]:
        return self.source, self.key_id, tuple(sorted(self.annotations.items()))


def encode_object(data: bytes, sealed: Sealed) -> bytes:
    head = (
        delimited(b"\x0a", data)
        + delimited(b"\x12", sealed.key_id.encode())
        + delimited(b"\x1a", sealed.source)
    )
    return head + encode_map(b"\x22", sealed.annotations) + b"\x28\x01"


def decode_object(raw: bytes) -> tuple[bytes, Sealed, int]:
    """Raises Broken."""
    found = message(raw)
    sealed = Sealed(one(found, 3), one(found, 2).decode("utf-8", "replace"), decode_map(found, 4))
    kinds = [value for number, value in found if number == 5]
    kind = kinds[-1] if kinds else 0
    if not isinstance(kind, int) or kind not in (0, HKDF_SEED) or not one(found, 1):
        raise Broken("no encrypted object")
    return one(found, 1), sealed, kind


def encode_map(tag: bytes, entries: Mapping[str, bytes]) -> bytes:
    return b"".join(
        delimited(tag, delimited(b"\x0a", key.encode()) + delimited(b"\x12", value))
        for key, value in sorted(entries.items())
    )


def decode_map(found: list[tuple[int, bytes | int]], number: int) -> dict[str, bytes]:
    entries = [message(value) for at, value in found if at == number and isinstance(value, bytes)]
    return {one(entry, 1).decode("utf-8", "replace"): one(entry, 2) for entry in entries}


def one(found: list[tuple[int, bytes | int]], number: int) -> bytes:
    """The last of a field; empty where there is none."""
    values = [value for at, value in found if at == number and isinstance(value, bytes)]
    return values[-1] if values else b""


def message(raw: bytes) -> list[tuple[int, bytes | int]]:
    """Numbers and values of the fields. Raises Broken."""
    return list(_fields(raw))


def _fields(raw: bytes) -> Iterator[tuple[int, bytes | int]]:
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        if tag & 7 == 0:
            number, at = _varint(raw, at)
            yield tag >> 3, number
        elif tag & 7 == 2:
            size, at = _varint(raw, at)
            if at + size > len(raw):
                raise Broken("a field is cut off")
            yield tag >> 3, raw[at : at + size]
            at += size
        else:
            raise Broken("no such kind of field")


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        if at >= len(raw):
            break
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise Broken("a number is cut off")
