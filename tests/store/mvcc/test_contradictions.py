"""A snapshot whose checksums are right and whose records cannot be: refused, and said why."""

from __future__ import annotations

import msgspec
import pytest

from store.lease.table import LeaseTable
from store.mvcc.messages import Record
from store.mvcc.snapshot import Base, Chunk, Damaged, End, Header, Log, finished, loading

HEADER = Header(1, 5, 3, 0, 4)
OLD = Record(b"k", b"v", 1, 2, 1)
NEW = Record(b"k", b"v", 2, 4, 2)

CASES: dict[str, tuple[list[Chunk], str]] = {
    "a key twice in the base": ([HEADER, Base([OLD]), Base([OLD]), End(2, 0)], "holds a key twice"),
    "a key twice at a revision": ([HEADER, Log([NEW, NEW]), End(2, 0)], "contradicts itself at revision 4"),
    "a number of no 64 bits": (
        [HEADER, Log([Record(b"k", b"", 2, 4, 2**63)]), End(1, 0)],
        "impossible numbers",
    ),
    "a change of the future": ([HEADER, Log([Record(b"k", b"", 6, 6, 1)]), End(1, 0)], "beyond its own"),
    "the deletion of nothing": ([HEADER, Log([Record(b"k", b"", 0, 4, 0)]), End(1, 0)], "never was"),
    "no end": ([HEADER, Log([NEW])], "ends too early"),
}


@pytest.mark.parametrize(("chunks", "why"), CASES.values(), ids=CASES)
def test_refused(chunks: list[Chunk], why: str) -> None:
    with pytest.raises(Damaged, match=why):
        finished(loading(map(msgspec.msgpack.encode, chunks), LeaseTable()))
