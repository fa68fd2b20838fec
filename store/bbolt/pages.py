"""The elements of the format that writer and reader share."""

from __future__ import annotations

import struct
from dataclasses import dataclass

PAGE_BYTES = 4096
BRANCH, LEAF, META, FREELIST = 0x01, 0x02, 0x04, 0x10
BUCKET = 0x01  # flag of a leaf's element whose value is a bucket
MAGIC, VERSION = 0xED0CDAED, 2

PAGE = struct.Struct("<QHHI")  # id, flags, count, overflow
LEAF_ELEMENT = struct.Struct("<IIII")  # flags, offset from this element to the key, sizes of key and value
BRANCH_ELEMENT = struct.Struct("<IIQ")  # offset, size of the key, page
BUCKET_HEAD = struct.Struct("<QQ")  # root page, sequence
_META = struct.Struct("<IIIIQQQQQ")  # magic, version, page size, flags, root, sequence, freelist, end, txid
_CHECKSUM = struct.Struct("<Q")
META_BYTES = PAGE.size + _META.size + _CHECKSUM.size

_FNV_OFFSET, _FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3


class BadFile(Exception):
    """The bytes are no bbolt file that can be read; the text says why."""


@dataclass(frozen=True, slots=True)
class Meta:
    page_bytes: int
    root: int  # page of the root bucket
    freelist: int
    end: int  # the first page that is not there
    txid: int

    def pack(self, page_id: int) -> bytes:
        body = _META.pack(
            MAGIC, VERSION, self.page_bytes, 0, self.root, 0, self.freelist, self.end, self.txid
        )
        page = PAGE.pack(page_id, META, 0, 0) + body + _CHECKSUM.pack(_fnv64(body))
        return page.ljust(self.page_bytes, b"\0")

    @classmethod
    def unpack(cls, data: bytes) -> Meta:
        """From a page that may hold one. Raises BadFile."""
        if len(data) < META_BYTES:
            raise BadFile("a meta page is cut off")
        body = data[PAGE.size : PAGE.size + _META.size]
        magic, version, page_bytes, _, root, _, freelist, end, txid = _META.unpack(body)
        if magic != MAGIC:
            raise BadFile("not a bbolt file")
        if version != VERSION:
            raise BadFile(f"version {version} of the format; this is version {VERSION}")
        if _CHECKSUM.unpack_from(data, PAGE.size + _META.size)[0] != _fnv64(body):
            raise BadFile("a meta page does not match its checksum")
        if page_bytes < 512 or page_bytes & (page_bytes - 1):
            raise BadFile(f"a page size of {page_bytes} bytes")
        return cls(page_bytes, root, freelist, end, txid)


def _fnv64(data: bytes) -> int:
    """FNV-1a."""
    value = _FNV_OFFSET
    for byte in data:
        value = (value ^ byte) * _FNV_PRIME & 0xFFFFFFFFFFFFFFFF
    return value
