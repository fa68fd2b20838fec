"""Objects in the store: read live, created, swapped and removed, each by one transaction.

Every write compares the object's own key (absent, or at the revision that was read); `Also` adds what must
hold and happen in the same transaction (a service's addresses). A write whose answer was lost is looked up
again: when the store holds exactly what was sent, it happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from control_plane.api.registry import Resource
from control_plane.apiserver.storage import codec, keys
from control_plane.apiserver.storage.leases import EventLeases
from control_plane.apiserver.storage.measuring import measured
from store.client.client import StoreClient
from store.client.errors import OutcomeUnknown, StoreError, Unavailable
from store.client.types import Compare, KeyValue, Op, Operation, RangeResponse, TxnResponse

LOOK_TIMEOUT_S = 5.0
LOOK_DELAY_S = 0.1

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Also:
    """More of a transaction: what must hold besides, and what else is done."""

    compares: Sequence[Compare] = ()
    operations: Sequence[Operation] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as it is in the store; `object` is the caller's own."""

    object: Object
    revision: int
    stale: bool = False  # stored in a version that is not the storage version any more


class Changed(Exception):
    """The object is not what the write assumed; `current` is what it is now (None: there is none)."""

    def __init__(self, current: Stored | None) -> None:
        super().__init__("the object has changed")
        self.current = current


class AlsoFailed(Exception):
    """The object is as assumed, but a condition of `Also` does not hold: nothing was written."""


class Objects:
    def __init__(
        self,
        client: StoreClient,
        leases: EventLeases,
        decode_foreign: Callable[[bytes], Object] | None = None,
        stale: Callable[[bytes], Awaitable[bool]] | None = None,
    ) -> None:
        self._client = client
        self._stale = stale
        self._leases = leases
        self._decode_foreign = decode_foreign

    def key(self, resource: Resource, namespace: str, name: str) -> bytes:
        prefix = keys.collection(resource.storage_group, resource.resource)
        return prefix + keys.item(namespace, name).encode()

    async def read(self, resource: Resource, namespace: str, name: str) -> Stored | None:
        """The object now: a linearizable read."""
        key = self.key(resource, namespace, name)
        found = await measured("get", key, self._client.range(key))
        return self._stored(found.kvs)

    async def is_stale(self, resource: Resource, namespace: str, name: str) -> bool:
        """Whether the stored bytes should be others though the object is the same: written with an old key."""
        return self._stale is not None and await self._stale(self.key(resource, namespace, name))

    async def create(
        self, resource: Resource, namespace: str, name: str, obj: Object, also: Also | None = None
    ) -> int:
        """The new object's revision. Raises Changed when there is one already, AlsoFailed."""
        lease = (
            await self._leases.lease() if (resource.storage_group, resource.resource) == ("", "events") else 0
        )
        return await self._put(self.key(resource, namespace, name), 0, codec.encode(obj), also, lease)

    async def swap(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        expected_revision: int,
        obj: Object,
        also: Also | None = None,
    ) -> int:
        """Replace what is at `expected_revision`. Raises Changed, AlsoFailed."""
        lease = (
            await self._leases.lease() if (resource.storage_group, resource.resource) == ("", "events") else 0
        )
        key = self.key(resource, namespace, name)
        return await self._put(key, expected_revision, codec.encode(obj), also, lease)

    async def remove(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        expected_revision: int,
        also: Also | None = None,
    ) -> int:
        """Delete what is at `expected_revision`; the revision of the deletion. Raises Changed, AlsoFailed."""
        key = self.key(resource, namespace, name)
        try:
            response = await self._txn(key, expected_revision, Op.delete(key), also)
        except OutcomeUnknown as unknown:
            found = await self._look(key, unknown)
            if found.kvs:
                raise
            return found.revision
        self._check(response, expected_revision)
        return response.revision

    async def list_at(
        self, prefix: bytes, start: bytes, end: bytes, limit: int, revision: int
    ) -> tuple[list[tuple[str, bytes, int]], int, bool, int]:
        """Items of the resource at `prefix` from the store itself, at a revision (0: now): (item, JSON, revision)
        each, then the revision of the list, whether there is more, and how many there are in all."""
        page = await measured("list", prefix, self._client.range(start, end, limit=limit, revision=revision))
        found = [
            (
                kv.key[len(prefix) :].decode(),
                codec.with_revision(kv.value, kv.mod_revision, self._decode_foreign),
                kv.mod_revision,
            )
            for kv in page.kvs
        ]
        return found, revision or page.revision, page.more, page.count

    async def _put(self, key: bytes, expected: int, value: bytes, also: Also | None, lease: int) -> int:
        try:
            response = await self._txn(key, expected, Op.put(key, value, lease), also)
        except OutcomeUnknown as unknown:
            found = await self._look(key, unknown)
            if found.kvs and found.kvs[0].value == value and found.kvs[0].mod_revision > expected:
                return found.kvs[0].mod_revision
            raise
        self._check(response, expected)
        return response.revision

    async def _look(self, key: bytes, unknown: OutcomeUnknown) -> RangeResponse:
        """What is there after a write whose answer was lost, once the store answers again. Raises `unknown` when it
        does not: an error that invites to repeat the write would be a lie."""
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                while True:
                    try:
                        return await self._client.range(key)
                    except Unavailable:
                        await asyncio.sleep(LOOK_DELAY_S)
        except (StoreError, TimeoutError) as error:
            raise unknown from error

    async def _txn(self, key: bytes, expected: int, write: Operation, also: Also | None) -> TxnResponse:
        more = also or Also()
        compares = [Compare.mod_revision(key, "=", expected), *more.compares]
        operation = "delete" if isinstance(write, Op.delete) else "update" if expected else "create"
        request = self._client.txn(compares, [write, *more.operations], [Op.range(key)])
        return await measured(operation, key, request)

    def _check(self, response: TxnResponse, expected: int) -> None:
        if response.succeeded:
            return
        read = response.responses[0]
        assert isinstance(read, RangeResponse)
        current = self._stored(read.kvs)
        if (current.revision if current else 0) == expected:
            raise AlsoFailed
        raise Changed(current)

    def _stored(self, kvs: Sequence[KeyValue]) -> Stored | None:
        if not kvs:
            return None
        kv = kvs[0]
        obj = codec.decode_stored(kv.value, kv.mod_revision, self._decode_foreign)
        return Stored(obj, kv.mod_revision)
