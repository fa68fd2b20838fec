"""etcd's Lock and Election services: queues of keys under a prefix, each living as long as its lease.

    <name>/<lease id in hex>    the key of one contender; the oldest of them (least create revision) has it

Who is not the oldest waits for the deletion of the key just before its own; so a release wakes one. The
protocol is the one of etcd's client library, so both may be used on the same name at the same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec

from store.api.errors import TextError
from store.api.service import StoreService
from store.mvcc.errors import Code, EmptyKey, RequestError
from store.mvcc.messages import (
    Compare,
    DeleteRangeRequest,
    PutRequest,
    RangeRequest,
    RangeResponse,
    Record,
    RequestOp,
    TxnRequest,
)
from store.watch.stream import Spec

DEFAULT_TTL_S = 60  # of the lease that a contender without one gets, as etcd's sessions


class NoElectionLeader(TextError):
    code = Code.UNKNOWN


class NotElected(TextError):
    code = Code.UNKNOWN


class SessionExpired(TextError):
    code = Code.UNKNOWN


class LeaderKey(msgspec.Struct):
    """What a winner shows to proclaim or resign."""

    name: bytes = b""
    key: bytes = b""
    rev: int = 0
    lease: int = 0


class Concurrency:
    def __init__(self, service: StoreService) -> None:
        self._service = service

    # -- locks --

    async def lock(self, name: bytes, lease: int) -> bytes:
        """The key of ownership, once it is held. Given up (cancelled) the key is withdrawn."""
        leader = await self._contend(name, lease, b"")
        return leader.key

    async def unlock(self, key: bytes) -> None:
        await self._service.delete_range(DeleteRangeRequest(key))

    # -- elections --

    async def campaign(self, name: bytes, lease: int, value: bytes) -> LeaderKey:
        return await self._contend(name, lease, value)

    async def proclaim(self, leader: LeaderKey, value: bytes) -> None:
        if not await self._while_held(
            leader, RequestOp(request_put=PutRequest(leader.key, value, leader.lease))
        ):
            raise NotElected("election: not leader")

    async def resign(self, leader: LeaderKey) -> None:
        await self._while_held(leader, RequestOp(request_delete_range=DeleteRangeRequest(leader.key)))

    async def leader(self, name: bytes) -> Record:
        found = await self._oldest(name + b"/")
        if found is None:
            raise NoElectionLeader("election: no leader")
        return found

    async def observe(self, name: bytes) -> AsyncIterator[Record]:
        """Each leader, and each value it proclaims, from now on."""
        prefix, last = name + b"/", 0
        while True:
            changed = self._changes(prefix)
            try:
                current = await self._oldest(prefix)
                if current is not None and current.mod_revision > last:
                    last = current.mod_revision
                    yield current
                    continue
                await changed.wait()
            finally:
                changed.close()

    # -- the queue --

    async def _contend(self, name: bytes, lease: int, value: bytes) -> LeaderKey:
        if not name:
            raise EmptyKey
        prefix = name + b"/"
        own_lease = lease or (await self._service.lease_grant(0, DEFAULT_TTL_S)).id
        key = prefix + b"%x" % own_lease
        revision = await self._enter(key, own_lease, value)
        try:
            await self._wait_for_older(prefix, revision)
            if not await self._is_held(key, revision):
                raise SessionExpired("etcdserver: session expired")
        except BaseException:
            await self._withdraw(key, revision)
            raise
        return LeaderKey(name, key, revision, own_lease)

    async def _enter(self, key: bytes, lease: int, value: bytes) -> int:
        """Put the key unless this session has it already; its create revision is the place in the queue."""
        answer = await self._service.txn(
            TxnRequest(
                [Compare("EQUAL", "CREATE", key)],
                [RequestOp(request_put=PutRequest(key, value, lease))],
                [RequestOp(request_range=RangeRequest(key))],
            )
        )
        if answer.succeeded:
            return answer.revision
        read = answer.responses[0]
        assert isinstance(read, RangeResponse)
        record = read.kvs[0]
        if record.value != value:
            await self.proclaim(LeaderKey(b"", key, record.create_revision, lease), value)
        return record.create_revision

    async def _wait_for_older(self, prefix: bytes, revision: int) -> None:
        while (older := await self._newest_before(prefix, revision)) is not None:
            changed = self._changes(older.key, single=True)
            try:
                if await self._is_held(older.key, older.create_revision):
                    await changed.wait()
            finally:
                changed.close()

    async def _newest_before(self, prefix: bytes, revision: int) -> Record | None:
        request = RangeRequest(
            prefix,
            _end(prefix),
            limit=1,
            sort_order="DESCEND",
            sort_target="CREATE",
            max_create_revision=revision - 1,
        )
        found = (await self._service.range(request)).kvs
        return found[0] if found else None

    async def _oldest(self, prefix: bytes) -> Record | None:
        request = RangeRequest(prefix, _end(prefix), limit=1, sort_order="ASCEND", sort_target="CREATE")
        found = (await self._service.range(request)).kvs
        return found[0] if found else None

    async def _is_held(self, key: bytes, revision: int) -> bool:
        found = (await self._service.range(RangeRequest(key))).kvs
        return bool(found) and found[0].create_revision == revision

    async def _while_held(self, leader: LeaderKey, op: RequestOp) -> bool:
        held = Compare("EQUAL", "CREATE", leader.key, create_revision=leader.rev)
        return (await self._service.txn(TxnRequest([held], [op]))).succeeded

    async def _withdraw(self, key: bytes, revision: int) -> None:
        """On the way out; if it fails the lease sees to it."""
        try:
            op = RequestOp(request_delete_range=DeleteRangeRequest(key))
            await asyncio.shield(self._while_held(LeaderKey(b"", key, revision), op))
        except (RequestError, asyncio.CancelledError):
            pass

    def _changes(self, key: bytes, single: bool = False) -> Changes:
        return Changes(self._service, Spec(key, b"" if single else _end(key)))


class Changes:
    """Tells that something in a range has changed since it was made."""

    def __init__(self, service: StoreService, spec: Spec) -> None:
        self._hub = service.machine.hub
        self._happened = asyncio.Event()
        self._stream = self._hub.open_stream(self._happened.set)
        self._hub.create(self._stream, spec, 0, progress_notify=False)
        self._stream.take()  # that it was created
        self._happened.clear()

    async def wait(self) -> None:
        await self._happened.wait()

    def close(self) -> None:
        self._hub.close_stream(self._stream)


def _end(prefix: bytes) -> bytes:
    """The first key after all that begin so; the prefix ends in a slash."""
    return prefix[:-1] + bytes((prefix[-1] + 1,))
