"""HPACK blocks to header fields (RFC 7541), on the hot path: a client that sends deadlines changes the table
with every call, and a general decoder takes longer over it than the member over the call.

The static table and the Huffman code are those of the `hpack` package.

    1xxxxxxx  a field of the table          01xxxxxx  a literal that enters the table
    001xxxxx  a new size of the table       000xxxxx  a literal that does not

Any exception leaves the table unusable: the connection ends. Bounds: the table, the list of fields, the
length of a number.
"""

from __future__ import annotations

from collections import deque

from hpack.exceptions import HPACKError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

Field = tuple[bytes, bytes]

TABLE_BYTES = 4096  # the protocol's default; we never announce another
ENTRY_BYTES = 32  # that a field counts beyond its text
MAX_NUMBER_SHIFT = 21  # four bytes after the prefix

_STATIC: list[Field] = [(bytes(name), bytes(value)) for name, value in HeaderTable.STATIC_TABLE]
_FIRST_DYNAMIC = len(_STATIC) + 1


class BadBlock(Exception):
    pass


class HpackDecoder:
    def __init__(self, max_list_bytes: int) -> None:
        self.changes = 0  # of the table; equal blocks mean equal fields while it stays
        self._entries: deque[Field] = deque()
        self._size_bytes = 0
        self._limit_bytes = TABLE_BYTES
        self._max_list_bytes = max_list_bytes

    def decode(self, block: bytes) -> list[Field]:
        """Raises BadBlock."""
        try:
            return self._decode(block)
        except (IndexError, HPACKError) as error:
            raise BadBlock(f"bad header block: {error}") from error

    def _decode(self, block: bytes) -> list[Field]:
        fields: list[Field] = []
        position, end, total = 0, len(block), 0
        while position < end:
            first = block[position]
            if first & 0x80:
                index, position = _number(block, position, 0x7F)
                field = self._field(index)
            elif first & 0x40:
                field, position = self._literal(block, position, 0x3F)
                self._add(field)
            elif first & 0x20:
                size, position = _number(block, position, 0x1F)
                if fields:
                    raise BadBlock("the table is resized in the middle of a block")
                self._resize(size)
                continue
            else:
                field, position = self._literal(block, position, 0x0F)
            total += len(field[0]) + len(field[1]) + ENTRY_BYTES
            if total > self._max_list_bytes:
                raise BadBlock("too many headers")
            fields.append(field)
        return fields

    def _field(self, index: int) -> Field:
        if index >= _FIRST_DYNAMIC:
            return self._entries[index - _FIRST_DYNAMIC]
        if index == 0:
            raise BadBlock("there is no field 0")
        return _STATIC[index - 1]

    def _literal(self, block: bytes, position: int, prefix: int) -> tuple[Field, int]:
        index, position = _number(block, position, prefix)
        if index:
            name = self._field(index)[0]
        else:
            name, position = _string(block, position)
        value, position = _string(block, position)
        return (name, value), position

    def _add(self, field: Field) -> None:
        self.changes += 1
        self._entries.appendleft(field)
        self._size_bytes += _entry_bytes(field)
        self._evict()

    def _resize(self, limit_bytes: int) -> None:
        if limit_bytes > TABLE_BYTES:
            raise BadBlock("the table would be larger than allowed")
        self.changes += 1
        self._limit_bytes = limit_bytes
        self._evict()

    def _evict(self) -> None:
        """The oldest go; a field larger than the table empties it."""
        while self._size_bytes > self._limit_bytes:
            self._size_bytes -= _entry_bytes(self._entries.pop())


def _entry_bytes(field: Field) -> int:
    return len(field[0]) + len(field[1]) + ENTRY_BYTES


def _number(block: bytes, position: int, prefix: int) -> tuple[int, int]:
    number = block[position] & prefix
    position += 1
    if number < prefix:
        return number, position
    shift = 0
    while True:
        byte = block[position]
        position += 1
        number += (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7
        if shift > MAX_NUMBER_SHIFT:
            raise BadBlock("a number is too long")


def _string(block: bytes, position: int) -> tuple[bytes, int]:
    huffman = block[position] & 0x80
    length, position = _number(block, position, 0x7F)
    text = block[position : position + length]
    if len(text) != length:
        raise BadBlock("a text is cut off")
    return decode_huffman(text) if huffman else text, position + length
