"""A snapshot as a file: what `snapshot save` downloads, through either door.

    file = (length:u32 chunk)* 0:u32 padding sha256

The padding makes all before the checksum a multiple of 512 bytes, which is how `etcdctl` tells that the
checksum is there.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

from store.api.machine import StoreMachine

ALIGNMENT_BYTES = 512


async def blobs(machine: StoreMachine) -> AsyncIterator[tuple[bytes, int]]:
    """(piece, bytes that remain, about) to the end of the file; others get their turn in between."""
    digest = hashlib.sha256()
    size = 0
    expected = machine.store.size_bytes
    view = machine.snapshot()
    try:
        for chunk in view.chunks():
            piece = len(chunk).to_bytes(4, "big") + chunk
            digest.update(piece)
            size += len(piece)
            yield piece, max(1, expected - size)
            await asyncio.sleep(0)
    finally:
        view.close()
    end = bytes(4 + -(size + 4) % ALIGNMENT_BYTES)
    digest.update(end)
    yield end, digest.digest_size
    yield digest.digest(), 0
