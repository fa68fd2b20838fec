"""Old revisions are forgotten one interval after they were new, by one of all the apiservers of a store."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from control_plane.apiserver.storage.compactor import KEY, Compactor, Seen
from store.client.errors import Compacted
from store.client.types import Compare, KeyValue, Operation, PutResponse, RangeResponse, TxnResponse
from tests.control_plane.apiserver.harness import Harness

PATH = "/api/v1/namespaces/default/configmaps"


class FakeStore:
    """One key, written only if it is at the version that is expected."""

    def __init__(self) -> None:
        self.revision = 10
        self.version = 0
        self.compacted: list[int] = []

    async def txn(
        self, compares: Sequence[Compare], success: Sequence[Operation], failure: Sequence[Operation]
    ) -> TxnResponse:
        if compares == [Compare.version(KEY, "=", self.version)]:
            self.version += 1
            self.revision += 1
            return TxnResponse(self.revision, True, [PutResponse(self.revision)])
        held: Any = KeyValue(KEY, b"1", self.revision, 1, self.version, 0)
        return TxnResponse(self.revision, False, [RangeResponse(self.revision, [held])])

    async def compact(self, revision: int, physical: bool = False) -> int:
        if self.compacted and revision <= self.compacted[-1]:
            raise Compacted(self.compacted[-1])
        self.compacted.append(revision)
        return self.revision


async def test_one_of_two_compacts_to_where_the_store_stood_before() -> None:
    store: Any = FakeStore()
    one, other = Compactor(store, 300.0), Compactor(store, 300.0)
    seen_one = await one.compact(Seen())
    seen_other = await other.compact(Seen())
    assert store.compacted == [], "at its start it knows of no revision"
    assert seen_one == seen_other == Seen(1, 11)
    for round_ in range(3):
        store.revision += 100
        before = seen_one.revision
        seen_other = await other.compact(seen_other)
        seen_one = await one.compact(seen_one)
        assert store.compacted[-1] == before
        assert len(store.compacted) == round_ + 1
        assert seen_one == seen_other


async def test_what_is_compacted_already() -> None:
    store: Any = FakeStore()
    store.version, store.compacted = 3, [500]
    assert await Compactor(store, 300.0).compact(Seen(3, 400)) == Seen(4, 11)


def test_a_list_can_be_continued_for_an_interval(tmp_path: Path) -> None:
    with Harness(tmp_path, "--etcd-compaction-interval=200ms") as api:
        for name in ("a", "b"):
            api.create(PATH, {"metadata": {"name": name}})
        token = api.get(f"{PATH}?limit=1")["metadata"]["continue"]
        api.create(PATH, {"metadata": {"name": "c"}})
        deadline = time.monotonic() + 20
        while (answer := api.request("GET", f"{PATH}?continue={token}")).status == 200:
            assert time.monotonic() < deadline, "nothing was compacted"
            time.sleep(0.05)
        assert (answer.status, answer.body["reason"]) == (410, "Expired")
