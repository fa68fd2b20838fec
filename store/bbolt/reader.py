"""Read a bbolt file: its buckets, and the entries of each in key order. Nothing in it is trusted.

Page numbers, counts, offsets and sizes are checked against the file before they are used, and no more pages are
followed than there are, so any bytes end in entries or in `BadFile`.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

from store.bbolt.pages import (
    BRANCH,
    BRANCH_ELEMENT,
    BUCKET,
    BUCKET_HEAD,
    LEAF,
    LEAF_ELEMENT,
    META_BYTES,
    PAGE,
    BadFile,
    Meta,
)

MAX_DEPTH = 32
PAGE_SIZES = (4096, 8192, 16384, 32768, 65536)  # where the second meta page may be


class Reader:
    def __init__(self, path: Path, size_bytes: int | None = None) -> None:
        """`size_bytes` leaves out what follows the file proper. Raises BadFile, OSError."""
        with path.open("rb") as file:
            try:
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError:
                raise BadFile("the file is empty") from None
        self._size = min(size_bytes or len(self._data), len(self._data))
        self._walked = 0
        try:
            self._meta = self._find_meta()
            self._buckets = dict(self._root_buckets())
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._data.close()

    @property
    def buckets(self) -> list[bytes]:
        return list(self._buckets)

    def entries(self, bucket: bytes) -> Iterator[tuple[bytes, bytes]]:
        """(key, value) in key order, one bucket at a time; nothing when there is no such bucket. Raises BadFile."""
        value = self._buckets.get(bucket)
        if value is None:
            return
        self._walked = 0
        for flags, key, entry in self._bucket(value):
            if not flags & BUCKET:
                yield key, entry

    def _find_meta(self) -> Meta:
        """The newer of the two that is sound."""
        found: list[Meta] = []
        failure = BadFile("not a bbolt file")
        for offset in (0, *PAGE_SIZES):
            try:
                meta = Meta.unpack(self._data[offset : offset + META_BYTES])
            except BadFile as error:
                if offset == 0:
                    failure = error
                continue
            if offset in (0, meta.page_bytes):
                found.append(meta)
        if not found:
            raise failure
        return max(found, key=lambda meta: meta.txid)

    def _root_buckets(self) -> Iterator[tuple[bytes, bytes]]:
        for flags, key, value in self._walk(self._meta.root, 0):
            if flags & BUCKET:
                yield key, value

    def _bucket(self, value: bytes) -> Iterator[tuple[int, bytes, bytes]]:
        if len(value) < BUCKET_HEAD.size:
            raise BadFile("a bucket's head is cut off")
        root, _ = BUCKET_HEAD.unpack_from(value)
        if root:
            yield from self._walk(root, 0)
        else:
            yield from _leaf(value[BUCKET_HEAD.size :])

    def _walk(self, page: int, depth: int) -> Iterator[tuple[int, bytes, bytes]]:
        self._walked += 1
        if depth > MAX_DEPTH or self._walked > self._meta.end:
            raise BadFile("a tree is too deep, or runs in a circle")
        data = self._page(page)
        flags = PAGE.unpack_from(data)[1]
        if flags & LEAF:
            yield from _leaf(data)
        elif flags & BRANCH:
            for child in _children(data):
                yield from self._walk(child, depth + 1)
        else:
            raise BadFile(f"page {page} is neither branch nor leaf")

    def _page(self, page: int) -> bytes:
        size = self._meta.page_bytes
        if not 2 <= page < self._meta.end or (page + 1) * size > self._size:
            raise BadFile(f"there is no page {page}")
        start = page * size
        number, _, _, overflow = PAGE.unpack_from(self._data, start)
        if number != page:
            raise BadFile(f"page {page} says that it is page {number}")
        end = start + (overflow + 1) * size
        if end > self._size:
            raise BadFile(f"page {page} goes on beyond the end of the file")
        return self._data[start:end]


def _leaf(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    for position, (flags, offset, key_size, value_size) in _elements(data, LEAF_ELEMENT):
        start = position + offset
        end = start + key_size + value_size
        if end > len(data):
            raise BadFile("an entry reaches beyond its page")
        yield flags, data[start : start + key_size], data[start + key_size : end]


def _children(data: bytes) -> Iterator[int]:
    for _, (_, _, child) in _elements(data, BRANCH_ELEMENT):
        yield child


def _elements(data: bytes, element: struct.Struct) -> Iterator[tuple[int, tuple[int, ...]]]:
    """(its position, its numbers) of each element of a page."""
    if len(data) < PAGE.size:
        raise BadFile("a page is cut off")
    count = PAGE.unpack_from(data)[2]
    if PAGE.size + count * element.size > len(data):
        raise BadFile("a page has more entries than room")
    for number in range(count):
        position = PAGE.size + number * element.size
        yield position, element.unpack_from(data, position)
