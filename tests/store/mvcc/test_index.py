"""How the key index lies in memory (what it answers is compared in test_model)."""

from __future__ import annotations

import gc

from store.mvcc.index import KeyIndex
from store.mvcc.messages import Record

KEYS = 20_000


def test_no_dict_holds_more_than_a_small_part_of_the_keys() -> None:
    index = KeyIndex()
    for revision in (1, 2):  # with a history, so that the collector knows of the dicts
        for number in range(KEYS):
            index.insert(Record(b"/key/%d" % number, b"", 1, revision, revision))
    sizes = [len(each) for each in gc.get_objects() if type(each) is dict and _is_of_keys(each)]
    assert sum(sizes) == KEYS
    assert max(sizes) < KEYS / 32


def _is_of_keys(each: dict[object, object]) -> bool:
    first = next(iter(each), None)
    return isinstance(first, bytes) and first.startswith(b"/key/")


def test_it_is_taken_apart_in_steps() -> None:
    index = KeyIndex()
    index.load(Record(b"%d" % number, b"", 1, 1, 1) for number in range(100))
    steps = 1
    while index.drop_some(30):
        steps += 1
    assert steps == 4
    assert b"1" not in index
