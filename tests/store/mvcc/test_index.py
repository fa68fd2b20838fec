"""How the key index lies in memory (what it answers is compared in test_model)."""

from __future__ import annotations

import gc

from store.mvcc.index import KeyIndex
from store.mvcc.messages import Record

KEYS = 20_000


def filled() -> KeyIndex:
    """With a history of every key."""
    index = KeyIndex()
    for revision in (1, 2):
        for number in range(KEYS):
            index.insert(Record(b"/key/%d" % number, b"", 1, revision, revision))
    return index


def test_no_dict_holds_more_than_a_small_part_of_the_keys() -> None:
    sizes = [len(each) for each in filled()._shards]
    assert sum(sizes) == KEYS
    assert max(sizes) < KEYS / 32


def test_the_collector_knows_of_nothing_that_holds_many_keys() -> None:
    """To look at a thousand cold keys takes it milliseconds."""
    index = filled()
    assert not any(gc.is_tracked(each) for each in index._shards)
    index.compact(b"/key/1", 2)
    index.insert(Record(b"/key/1", b"", 1, 3, 3))
    assert not any(gc.is_tracked(each) for each in index._shards)


def test_it_is_taken_apart_in_steps() -> None:
    index = KeyIndex()
    index.load(Record(b"%d" % number, b"", 1, 1, 1) for number in range(100))
    steps = 1
    while index.drop_some(30):
        steps += 1
    assert steps == 4
    assert b"1" not in index
