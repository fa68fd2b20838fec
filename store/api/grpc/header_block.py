"""Header blocks: what a call says of itself, and the few blocks that a gRPC server writes.

A client repeats its headers, so that a block is mostly a few indexes into the table that both sides keep.
While that table does not change, equal blocks mean equal headers: they are decoded once. What we write is
literal, without a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from store.api.grpc.hpack_decoder import BadBlock, Field, HpackDecoder

MAX_BLOCK_BYTES = 16 * 1024  # compressed
MAX_LIST_BYTES = 64 * 1024  # decompressed
MAX_CACHED_BLOCKS = 64
MAX_GRPC_MESSAGE_BYTES = 4096

_CONNECTION_HEADERS = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)


class BadHeaders(Exception):
    """The block cannot be read: the tables of both sides differ from now on, the connection is lost."""


class MalformedRequest(Exception):
    """The block can be read, but is no HTTP/2 request; only its stream is lost."""


@dataclass(frozen=True, slots=True)
class Head:
    """The headers of one request; names are lower case."""

    method: bytes
    path: bytes
    headers: Mapping[bytes, bytes]


class HeaderDecoder:
    def __init__(self) -> None:
        self._decoder = HpackDecoder(MAX_LIST_BYTES)
        self._cache: dict[bytes, Head] = {}

    def decode(self, block: bytes) -> Head:
        """Raises BadHeaders or MalformedRequest."""
        cached = self._cache.get(block)
        if cached is not None:
            return cached
        before = self._decoder.changes
        fields = self._fields(block)
        unchanged = self._decoder.changes == before
        if not unchanged:
            self._cache.clear()
        head = _request(fields)
        if unchanged and len(self._cache) < MAX_CACHED_BLOCKS:
            self._cache[block] = head
        return head

    def skip(self, block: bytes) -> None:
        """A block whose request is refused still changes the table. Raises BadHeaders."""
        self._fields(block)
        self._cache.clear()

    def _fields(self, block: bytes) -> list[Field]:
        try:
            return self._decoder.decode(block)
        except BadBlock as error:
            raise BadHeaders(str(error)) from error


def _request(fields: list[Field]) -> Head:
    pseudo: dict[bytes, bytes] = {}
    headers: dict[bytes, bytes] = {}
    for name, value in fields:
        if name.startswith(b":"):
            if headers or name in pseudo:
                raise MalformedRequest("pseudo-headers come first, and once")
            pseudo[name] = value
        elif name in _CONNECTION_HEADERS or name != name.lower() or not name:
            raise MalformedRequest("a header that HTTP/2 does not allow")
        else:
            headers[name] = headers[name] + b"," + value if name in headers else value
    if not pseudo.keys() >= {b":method", b":path", b":scheme"}:
        raise MalformedRequest("a pseudo-header is missing")
    return Head(pseudo[b":method"], pseudo[b":path"], headers)


def literal(name: bytes, value: bytes) -> bytes:
    """A field that touches no table; names and values here are shorter than 127 bytes or get a longer
    length."""
    return b"\x00" + _string(name) + _string(value)


def _string(text: bytes) -> bytes:
    return _length(len(text)) + text


def _length(size: int) -> bytes:
    """An integer with a prefix of seven bits (RFC 7541 §5.1)."""
    if size < 127:
        return bytes((size,))
    rest, encoded = size - 127, b"\x7f"
    while rest >= 0x80:
        encoded += bytes((rest & 0x7F | 0x80,))
        rest >>= 7
    return encoded + bytes((rest,))


STATUS_200 = b"\x88"
RESPONSE = STATUS_200 + literal(b"content-type", b"application/grpc")
TRAILERS_OK = literal(b"grpc-status", b"0") + literal(b"grpc-message", b"")


def trailers(code: int, message: str) -> bytes:
    text = quote(message[:MAX_GRPC_MESSAGE_BYTES], safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~")
    return literal(b"grpc-status", str(code).encode()) + literal(b"grpc-message", text.encode())


def refusal(status: int) -> bytes:
    """The whole answer to a request that is no gRPC call."""
    return literal(b":status", str(status).encode()) + literal(b"content-length", b"0")
