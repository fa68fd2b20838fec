"""The cache of one resource: contents, history, waiting."""

from __future__ import annotations

import asyncio

import pytest

from control_plane.apiserver.storage import codec
from control_plane.apiserver.watch_cache import cache as module
from control_plane.apiserver.watch_cache.cache import Lagged, ResourceCache, TooOld
from control_plane.apiserver.watch_cache.entry import ADDED, DELETED, MODIFIED, Change, Entry


def entry(name: str, revision: int, **labels: str) -> Entry:
    obj = {"apiVersion": "v1", "kind": "X", "metadata": {"name": name, "labels": labels}}
    return Entry(codec.encode_with_revision(obj, revision), revision)


def filled(*items: str) -> ResourceCache:
    cache = ResourceCache()
    for revision, item in enumerate(items, start=1):
        cache.apply(item, entry(item, revision), revision)
    return cache


def changes(cache: ResourceCache, position: int) -> list[tuple[str, str, int]]:
    return [(change.type, change.item, change.revision) for change in cache.read(position, 100)]


def test_items_are_in_key_order_and_by_prefix() -> None:
    cache = filled("b/x", "a/y", "a/x", "ab/x")
    assert [item for item, _ in cache.entries()] == ["a/x", "a/y", "ab/x", "b/x"]
    assert [item for item, _ in cache.entries("a/")] == ["a/x", "a/y"]
    assert [item for item, _ in cache.entries("a/", "a/x\x00")] == ["a/y"]
    assert (cache.count(), cache.count("a/"), cache.count("a/", "a/y")) == (4, 2, 1)


def test_the_history_says_what_happened() -> None:
    cache = ResourceCache()
    cache.apply("a", entry("a", 1), 1)
    cache.apply("a", entry("a", 2), 2)
    cache.apply("a", None, 3)
    cache.apply("a", None, 4)  # deleting nothing is nothing
    assert changes(cache, 0) == [(ADDED, "a", 1), (MODIFIED, "a", 2), (DELETED, "a", 3)]
    assert changes(cache, cache.position_after(1)) == [(MODIFIED, "a", 2), (DELETED, "a", 3)]
    assert cache.read(cache.end, 10) == []


def test_a_deleted_objects_frame_has_its_last_state_and_the_new_revision() -> None:
    change = Change("a", 9, None, entry("a", 4, x="y"))
    obj = codec.decode(change.raw(DELETED))
    assert (obj["metadata"]["resourceVersion"], obj["metadata"]["labels"]) == ("9", {"x": "y"})
    assert change.frame(DELETED) is change.frame(DELETED), "encoded once"


def test_a_bounded_history_moves_its_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HISTORY_MAX_CHANGES", 8)
    monkeypatch.setattr(module, "HISTORY_MIN_CHANGES", 2)
    cache = filled(*(f"i{number}" for number in range(20)))
    assert cache.floor > 0
    with pytest.raises(TooOld):
        cache.position_after(cache.floor - 1)
    with pytest.raises(Lagged):
        cache.read(0, 10)
    kept = changes(cache, cache.position_after(cache.floor))
    assert [revision for _, _, revision in kept] == list(range(cache.floor + 1, 21))


def test_changes_of_one_revision_stay_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HISTORY_MAX_CHANGES", 8)
    monkeypatch.setattr(module, "HISTORY_MIN_CHANGES", 2)
    cache = ResourceCache()
    for number in range(9):
        revision = 1 if number < 5 else 2
        cache.apply(f"i{number}", entry(f"i{number}", revision), revision)
    assert cache.floor == 1
    assert {revision for _, _, revision in changes(cache, cache.position_after(1))} == {2}


def test_a_reset_cuts_every_watcher() -> None:
    cache = filled("a")
    position = cache.end
    cache.reset({"b": entry("b", 7)}, 9)
    with pytest.raises(Lagged):
        cache.read(position, 10)
    assert (cache.floor, cache.end - cache.position_after(9)) == (9, 0)
    assert [item for item, _ in cache.entries()] == ["b"]


def test_shared_objects_are_the_same_until_something_changes() -> None:
    cache = filled("a", "b")
    listed = cache.objects()
    assert cache.objects() is listed
    first = cache.object("a")
    assert cache.object("a") is first
    cache.apply("b", entry("b", 3), 3)
    assert cache.objects() is not listed
    assert cache.object("a") is first


async def test_waiting_ends_with_a_change_or_with_the_time() -> None:
    cache = filled("a")
    waiting = asyncio.create_task(cache.wait(10))
    await asyncio.sleep(0)
    cache.apply("b", entry("b", 2), 2)
    cache.notify()
    await asyncio.wait_for(waiting, 1)
    await asyncio.wait_for(cache.wait(0.01), 1)
    assert not cache._waiting, "nothing is left of those who gave up"
