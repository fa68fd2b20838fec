"""Writes whose answer is lost, and races that are lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from control_plane.api.registry import Registry, Resource
from control_plane.apiserver.storage import codec, objects
from control_plane.apiserver.storage.leases import MAX_KEYS_PER_LEASE, EventLeases
from control_plane.apiserver.storage.objects import Also, AlsoFailed, Changed, Objects
from store.client.errors import OutcomeUnknown, StoreError, Unavailable
from store.client.types import (
    Compare,
    DeleteOp,
    KeyValue,
    LeaseGrantResponse,
    Operation,
    PutOp,
    RangeResponse,
    TxnResponse,
)


class FakeStore:
    """Keys with their revisions; `lose` makes the next transaction's answer disappear, applied or not."""

    def __init__(self) -> None:
        self.revision = 1
        self.kvs: dict[bytes, KeyValue] = {}
        self.lose: Callable[[], bool] | None = None
        self.read_failures: list[StoreError] = []
        self.leases = 0

    async def range(self, key: bytes, **_: Any) -> RangeResponse:
        if self.read_failures:
            raise self.read_failures.pop(0)
        found = self.kvs.get(key)
        return RangeResponse(self.revision, [found] if found else [])

    async def txn(
        self, compares: Sequence[Compare], success: Sequence[Operation], failure: Sequence[Operation]
    ) -> TxnResponse:
        lose, self.lose = self.lose, None
        if lose is not None and not lose():
            raise OutcomeUnknown("lost before it was applied")
        holds = all(self._mod(each.key) == each.operand for each in compares)
        if holds:
            self.revision += 1
            for operation in success:
                self._apply(operation)
        if lose is not None:
            raise OutcomeUnknown("lost after it was applied")
        read = [] if holds else [await self.range(failure[0].key)]
        return TxnResponse(self.revision, holds, read)

    async def lease_grant(self, ttl_s: int) -> LeaseGrantResponse:
        self.leases += 1
        return LeaseGrantResponse(self.leases, ttl_s)

    def _mod(self, key: bytes) -> int:
        return self.kvs[key].mod_revision if key in self.kvs else 0

    def _apply(self, operation: Operation) -> None:
        if isinstance(operation, PutOp):
            self.kvs[operation.key] = KeyValue(operation.key, operation.value, mod_revision=self.revision)
        elif isinstance(operation, DeleteOp):
            self.kvs.pop(operation.key, None)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> FakeStore:
    monkeypatch.setattr(objects, "LOOK_DELAY_S", 0.0)
    return FakeStore()


@pytest.fixture
def stored(store: FakeStore) -> Objects:
    return Objects(store, EventLeases(store))  # type: ignore[arg-type]


@pytest.fixture
def resource() -> Resource:
    found = Registry.builtin().find("", "configmaps")
    assert found is not None
    return found


def obj(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}


async def test_a_lost_race_tells_the_winner(stored: Objects, resource: Resource) -> None:
    revision = await stored.create(resource, "ns", "a", obj(x="1"))
    with pytest.raises(Changed) as lost:
        await stored.create(resource, "ns", "a", obj(x="2"))
    assert lost.value.current is not None
    assert (lost.value.current.revision, lost.value.current.object["data"]) == (revision, {"x": "1"})
    with pytest.raises(Changed):
        await stored.swap(resource, "ns", "a", revision + 7, obj())
    with pytest.raises(Changed) as gone:
        await stored.remove(resource, "ns", "none", 5)
    assert gone.value.current is None


async def test_what_else_must_hold_fails_apart(stored: Objects, resource: Resource, store: FakeStore) -> None:
    taken = Compare.mod_revision(b"/taken", "=", 0)
    also = Also([taken], [PutOp(b"/taken", b"1")])
    await stored.create(resource, "ns", "a", obj(), also)
    with pytest.raises(AlsoFailed):
        await stored.create(resource, "ns", "b", obj(), also)
    assert b"/registry/core/configmaps/ns/b" not in store.kvs


@pytest.mark.parametrize("applied", [True, False], ids=["applied", "not applied"])
async def test_a_create_whose_answer_is_lost(
    stored: Objects, resource: Resource, store: FakeStore, applied: bool
) -> None:
    store.lose = lambda: applied
    store.read_failures = [Unavailable("no leader"), Unavailable("no leader")]
    if applied:
        assert await stored.create(resource, "ns", "a", obj(x="1")) == store.revision
    else:
        with pytest.raises(OutcomeUnknown):
            await stored.create(resource, "ns", "a", obj(x="1"))


async def test_a_lost_answer_is_never_called_unavailable(
    stored: Objects, resource: Resource, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients repeat what is Unavailable; a create that was applied would then conflict with itself."""
    store.lose = lambda: True
    monkeypatch.setattr(objects, "LOOK_TIMEOUT_S", 0.01)
    store.read_failures = [Unavailable("no leader")] * 1_000_000
    with pytest.raises(OutcomeUnknown):
        await stored.create(resource, "ns", "a", obj())


async def test_a_removal_whose_answer_is_lost(stored: Objects, resource: Resource, store: FakeStore) -> None:
    revision = await stored.create(resource, "ns", "a", obj())
    store.lose = lambda: True
    await stored.remove(resource, "ns", "a", revision)
    assert not store.kvs


async def test_a_lost_update_of_another_writer_is_not_ours(
    stored: Objects, resource: Resource, store: FakeStore
) -> None:
    revision = await stored.create(resource, "ns", "a", obj(x="1"))

    def other_writer() -> bool:
        key = stored.key(resource, "ns", "a")
        store.revision += 1
        store.kvs[key] = KeyValue(key, codec.encode(obj(x="other")), mod_revision=store.revision)
        return False

    store.lose = other_writer
    with pytest.raises(OutcomeUnknown):
        await stored.swap(resource, "ns", "a", revision, obj(x="2"))


async def test_events_share_leases(store: FakeStore) -> None:
    now_s = 0.0
    leases = EventLeases(store, 3600, lambda: now_s)  # type: ignore[arg-type]
    assert {await leases.lease() for _ in range(MAX_KEYS_PER_LEASE)} == {1}
    assert await leases.lease() == 2
    now_s = 61.0
    assert await leases.lease() == 3
