"""Whatever is written can be read again, and no bytes do more harm than a `BadFile`."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.bbolt.pages import BUCKET_HEAD, LEAF, LEAF_ELEMENT, PAGE, PAGE_BYTES, BadFile, Meta
from store.bbolt.reader import Reader
from store.bbolt.writer import NODE_BYTES, Entry, Writer

Buckets = dict[bytes, list[Entry]]


def write(path: Path, buckets: Buckets, piece: int = 7) -> bytes:
    def source(entries: list[Entry]) -> list[list[Entry]]:
        return [entries[at : at + piece] for at in range(0, len(entries), piece)]

    writer = Writer({name: lambda entries=entries: source(entries) for name, entries in buckets.items()})
    for _ in writer.plan():
        pass
    data = b"".join(writer.pages())
    assert len(data) == writer.size_bytes
    path.write_bytes(data)
    return data


def read(path: Path) -> Buckets:
    with Reader(path) as reader:
        return {name: list(reader.entries(name)) for name in reader.buckets}


def numbered(count: int, size: int) -> list[Entry]:
    return [(b"%08d" % number, b"v" * size) for number in range(count)]


CASES: dict[str, Buckets] = {
    "no bucket": {},
    "an empty bucket": {b"a": []},
    "one leaf": {b"a": numbered(3, 5), b"b": numbered(1, 0)},
    "a level of branches": {b"a": numbered(3000, 100)},
    "two levels": {b"a": [(b"%04000d" % number, b"v") for number in range(900)]},
    "entries longer than a page": {b"a": numbered(3, 3 * NODE_BYTES), b"b": numbered(2, PAGE_BYTES)},
    "exactly full": {b"a": numbered(1, PAGE_BYTES - PAGE.size - LEAF_ELEMENT.size - 8)},
}


@pytest.mark.parametrize("buckets", CASES.values(), ids=CASES)
def test_round_trip(tmp_path: Path, buckets: Buckets) -> None:
    write(tmp_path / "db", buckets)
    assert read(tmp_path / "db") == buckets


KEYS = st.dictionaries(st.binary(min_size=1, max_size=300), st.binary(max_size=300), max_size=40)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.binary(min_size=1, max_size=20), KEYS, max_size=4), st.integers(1, 20))
def test_any_entries(tmp_path: Path, contents: dict[bytes, dict[bytes, bytes]], piece: int) -> None:
    buckets = {name: sorted(entries.items()) for name, entries in contents.items()}
    write(tmp_path / "db", buckets, piece)
    assert read(tmp_path / "db") == buckets


def test_a_small_bucket_may_stand_in_its_entry(tmp_path: Path) -> None:
    """As bbolt writes it: root 0, then the only page."""
    page = PAGE.pack(0, LEAF, 1, 0) + LEAF_ELEMENT.pack(0, LEAF_ELEMENT.size, 1, 2) + b"kvv"
    inline = BUCKET_HEAD.pack(0, 0) + page
    root = PAGE.pack(3, LEAF, 1, 0) + LEAF_ELEMENT.pack(1, LEAF_ELEMENT.size, 1, len(inline)) + b"a" + inline
    pages = [Meta(PAGE_BYTES, 3, 2, 4, txid).pack(txid) for txid in (0, 1)]
    data = b"".join([*pages, bytes(PAGE_BYTES), root.ljust(PAGE_BYTES, b"\0")])
    (tmp_path / "db").write_bytes(data)
    assert read(tmp_path / "db") == {b"a": [(b"k", b"vv")]}
    (tmp_path / "db").write_bytes(bytes(PAGE_BYTES) + data[PAGE_BYTES:])  # the second meta page will do
    assert read(tmp_path / "db") == {b"a": [(b"k", b"vv")]}


def test_damage_anywhere(tmp_path: Path) -> None:
    """Read to the end or refused, and in no more steps than there are pages."""
    path = tmp_path / "db"
    whole = write(path, {b"a": numbered(1500, 60), b"b": numbered(3, 9)})
    rng = random.Random(1)
    refused = 0
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(rng.choice([1, 4, 64])):
            page = rng.randrange(len(data) // PAGE_BYTES) * PAGE_BYTES
            data[page + rng.randrange(rng.choice([16, 80, PAGE_BYTES]))] = rng.randrange(256)
        path.write_bytes(data[: rng.choice([len(data), len(data), rng.randrange(len(data))])])
        try:
            read(path)
        except BadFile:
            refused += 1
    assert refused > 50


def test_a_circle_of_pages_ends(tmp_path: Path) -> None:
    data = bytearray(write(tmp_path / "db", {b"a": numbered(2000, 60)}))
    count = PAGE.unpack_from(data, 4 * PAGE_BYTES)[2]
    for element in range(count):
        at = 4 * PAGE_BYTES + PAGE.size + element * 16 + 8
        data[at : at + 8] = (4).to_bytes(8, "little")
    (tmp_path / "db").write_bytes(data)
    with pytest.raises(BadFile, match="circle"):
        read(tmp_path / "db")
