"""A snapshot as a file: what `Maintenance.Snapshot` streams, and `snapshot restore` reads. It is etcd's own.

    file = bbolt database, sha256 of it

A database is a multiple of 512 bytes long, which is how `etcdctl` tells that the checksum is there.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from store.api import etcd_restore
from store.api.etcd_buckets import EtcdView
from store.api.machine import StoreMachine
from store.api.service import StoreService
from store.bbolt.pages import BadFile
from store.bbolt.reader import Reader
from store.bbolt.writer import Writer
from store.mvcc.snapshot import Damaged

ALIGNMENT_BYTES = 512
READ_BYTES = 1024 * 1024
BLOB_BYTES = 64 * 1024  # pieces are joined to about this size
DIGEST_BYTES = 32


class BadSnapshot(Exception):
    """The file is no snapshot that can be restored; the text says why."""


async def blobs(service: StoreService) -> AsyncIterator[tuple[bytes, int]]:
    """(piece, bytes that remain) to the end of the file; others get their turn in between."""
    view = EtcdView(service.machine, service.engine.status())
    try:
        for piece, remaining in pieces(view):
            if piece:
                yield piece, remaining
            await asyncio.sleep(0)
    finally:
        view.close()


def pieces(view: EtcdView) -> Iterator[tuple[bytes, int]]:
    """The file in small steps, some of which yield nothing."""
    digest = hashlib.sha256()
    writer = Writer(view.buckets())
    for _ in writer.plan():
        yield b"", 0
    remaining = writer.size_bytes + DIGEST_BYTES
    waiting: list[bytes] = []
    size = 0
    for page in writer.pages():
        waiting.append(page)
        size += len(page)
        piece = b""
        if size >= BLOB_BYTES:
            piece = b"".join(waiting)
            digest.update(piece)
            remaining -= size
            waiting, size = [], 0
        yield piece, remaining
    piece = b"".join(waiting)
    digest.update(piece)
    yield piece, DIGEST_BYTES
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


def load(path: Path) -> StoreMachine:
    """The state in a file that was checked. Raises BadSnapshot."""
    try:
        with Reader(path, path.stat().st_size - DIGEST_BYTES) as reader:
            return etcd_restore.restore(reader)
    except (BadFile, Damaged) as error:
        raise BadSnapshot(f"{path}: {error}") from error


def entries(path: Path) -> int:
    """In all buckets together, as `etcdctl snapshot status` counts. Raises BadSnapshot."""
    try:
        with Reader(path, path.stat().st_size - DIGEST_BYTES) as reader:
            return sum(1 for bucket in reader.buckets for _ in reader.entries(bucket))
    except BadFile as error:
        raise BadSnapshot(f"{path}: {error}") from error
