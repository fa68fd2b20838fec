"""A snapshot as a file: what `snapshot save` downloads through either door, and `snapshot restore` reads.

    file = (length:u32 chunk)* 0:u32 padding sha256

The padding makes all before the checksum a multiple of 512 bytes, which is how `etcdctl` tells that the
checksum is there.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from store.api.machine import StoreMachine

ALIGNMENT_BYTES = 512
LENGTH_BYTES = 4
READ_BYTES = 1024 * 1024


class BadSnapshot(Exception):
    """The file is no snapshot that can be restored; the text says why."""


async def blobs(machine: StoreMachine) -> AsyncIterator[tuple[bytes, int]]:
    """(piece, bytes that remain, about) to the end of the file; others get their turn in between."""
    digest = hashlib.sha256()
    size = 0
    expected = machine.store.size_bytes
    view = machine.snapshot()
    try:
        for chunk in view.chunks():
            piece = len(chunk).to_bytes(LENGTH_BYTES, "big") + chunk
            digest.update(piece)
            size += len(piece)
            yield piece, max(1, expected - size)
            await asyncio.sleep(0)
    finally:
        view.close()
    end = bytes(LENGTH_BYTES + -(size + LENGTH_BYTES) % ALIGNMENT_BYTES)
    digest.update(end)
    yield end, digest.digest_size
    yield digest.digest(), 0


def check(path: Path) -> str:
    """The checksum in hex, if it is the one of the contents. Raises BadSnapshot."""
    digest = hashlib.sha256()
    size = path.stat().st_size
    if size % ALIGNMENT_BYTES != digest.digest_size:
        raise BadSnapshot(f"{path}: {size} bytes cannot be a snapshot and its checksum")
    with path.open("rb") as file:
        remaining = size - digest.digest_size
        while remaining:
            data = file.read(min(READ_BYTES, remaining))
            digest.update(data)
            remaining -= len(data)
        if file.read() != digest.digest():
            raise BadSnapshot(f"{path}: the contents do not match the checksum")
    return digest.hexdigest()


def chunks(path: Path) -> Iterator[bytes]:
    """The state machine's chunks, of a file that was checked. Raises BadSnapshot."""
    with path.open("rb") as file:
        while length := int.from_bytes(file.read(LENGTH_BYTES), "big"):
            chunk = file.read(length)
            if len(chunk) != length:
                raise BadSnapshot(f"{path}: a piece is cut off; is it a snapshot of another program?")
            yield chunk
