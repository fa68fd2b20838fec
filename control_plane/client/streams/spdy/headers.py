"""Header blocks of SPDY/3.1: name-value pairs, compressed over the whole connection (section 2.6.10).

The compressor's state runs through all blocks of a direction, so a block that cannot be read ends the connection.
A small block can inflate without end: what comes out is bounded before it is looked at.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from control_plane.client.streams.errors import ProtocolError

MAX_BLOCK_BYTES = 64 * 1024  # decompressed
MAX_PAIRS = 256
_WORD = struct.Struct("!I")

Headers = Mapping[str, str]


@cache
def _dictionary() -> bytes:
    return (Path(__file__).parent / "dictionary.bin").read_bytes()


class HeaderWriter:
    def __init__(self) -> None:
        self._zlib = zlib.compressobj(zdict=_dictionary())

    def encode(self, headers: Headers) -> bytes:
        parts = [_WORD.pack(len(headers))]
        for name, value in headers.items():
            for text in (name.lower(), value):
                data = text.encode("latin-1")
                parts += (_WORD.pack(len(data)), data)
        return self._zlib.compress(b"".join(parts)) + self._zlib.flush(zlib.Z_SYNC_FLUSH)


class HeaderReader:
    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(zdict=_dictionary())

    def decode(self, block: bytes) -> dict[str, str]:
        """Raises ProtocolError."""
        try:
            plain = self._zlib.decompress(block, MAX_BLOCK_BYTES)
        except zlib.error as error:
            raise ProtocolError(f"header block: {error}") from error
        if self._zlib.unconsumed_tail:
            raise ProtocolError("header block: too large")
        return _pairs(plain)


def _pairs(plain: bytes) -> dict[str, str]:
    if not plain:
        return {}
    offset = 0

    def number() -> int:
        nonlocal offset
        if offset + 4 > len(plain):
            raise ProtocolError("header block: truncated")
        offset += 4
        return int(_WORD.unpack_from(plain, offset - 4)[0])

    def text() -> str:
        nonlocal offset
        size = number()
        if size > len(plain) - offset:
            raise ProtocolError("header block: truncated")
        offset += size
        return plain[offset - size : offset].decode("latin-1")

    count = number()
    if count > MAX_PAIRS:
        raise ProtocolError("header block: too many headers")
    pairs: dict[str, str] = {}
    for _ in range(count):
        name = text().lower()
        if not name or name in pairs:
            raise ProtocolError("header block: empty or repeated name")
        pairs[name] = text()
    return pairs
