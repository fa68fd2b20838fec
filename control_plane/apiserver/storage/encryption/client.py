"""A store client that encrypts what it writes and decrypts what it reads, so that nobody else has to know.

A value that no key reads is handed on as it is stored: whoever decodes it says that it is no object. `unreadable`
counts them, and the server is not ready while there are any.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from msgspec.structs import replace as with_fields

from control_plane.apiserver.storage.encryption.errors import CannotDecrypt
from control_plane.apiserver.storage.encryption.transformer import Transformers
from store.client import types as t
from store.client.client import StoreClient
from store.client.watch import Watch
from store.component import logs

MAX_UNREADABLE = 1000  # keys that are remembered

log = logs.get("apiserver.encryption")


class Values:
    """Values on their way in and out. `transformers` may be replaced at any time."""

    def __init__(self, transformers: Transformers) -> None:
        self.transformers = transformers
        self.unreadable: set[bytes] = set()

    def check(self) -> str | None:
        """A health check."""
        if not self.unreadable:
            return None
        return f"{len(self.unreadable)} values of the store cannot be decrypted"

    def encrypted(self, operation: t.Operation) -> t.Operation:
        if isinstance(operation, t.PutOp):
            return replace(operation, value=self.encrypt(operation.key, operation.value))
        if isinstance(operation, t.TxnOp):
            success, failure = map(self._all_encrypted, (operation.success, operation.failure))
            return replace(operation, success=success, failure=failure)
        return operation

    def _all_encrypted(self, operations: Sequence[t.Operation]) -> Sequence[t.Operation]:
        return [self.encrypted(each) for each in operations]

    def encrypt(self, key: bytes, value: bytes) -> bytes:
        transformer = self.transformers.of(key)
        return transformer.encrypt(value, key) if transformer is not None else value

    def is_stale(self, kv: t.KeyValue) -> bool:
        transformer = self.transformers.of(kv.key)
        try:
            return transformer is not None and transformer.decrypt(kv.value, kv.key)[1]
        except CannotDecrypt:
            return False

    def decrypted(self, kv: t.KeyValue) -> t.KeyValue:
        transformer = self.transformers.of(kv.key)
        if transformer is None or not kv.value:
            return kv
        try:
            value, _ = transformer.decrypt(kv.value, kv.key)
        except CannotDecrypt as error:
            if len(self.unreadable) < MAX_UNREADABLE:
                self.unreadable.add(kv.key)
            log.error("a value of the store cannot be decrypted", key=kv.key.decode(), reason=error)
            return kv
        self.unreadable.discard(kv.key)
        return with_fields(kv, value=value)

    async def prepare(self, kvs: Iterable[t.KeyValue]) -> None:
        """Fetch the keys that these values need. Raises StoreError."""
        if not self.transformers.services:
            return
        for kv in kvs:
            transformer = self.transformers.of(kv.key)
            if transformer is not None and kv.value:
                await transformer.prepare(kv.value)

    def read(self, kvs: Sequence[t.KeyValue]) -> list[t.KeyValue]:
        return [self.decrypted(kv) for kv in kvs]

    def answered(self, response: Any) -> Any:
        """A response of any operation."""
        match response:
            case t.RangeResponse() if response.kvs:
                return with_fields(response, kvs=self.read(response.kvs))
            case t.TxnResponse():
                return with_fields(response, responses=[self.answered(each) for each in response.responses])
            case t.PutResponse() if response.prev_kv is not None:
                return with_fields(response, prev_kv=self.decrypted(response.prev_kv))
            case t.DeleteRangeResponse() if response.prev_kvs:
                return with_fields(response, prev_kvs=self.read(response.prev_kvs))
        return response

    def event(self, event: t.Event) -> t.Event:
        if event.type == "DELETE":
            self.unreadable.discard(event.kv.key)
        previous = self.decrypted(event.prev_kv) if event.prev_kv is not None else None
        return with_fields(event, kv=self.decrypted(event.kv), prev_kv=previous)


class EncryptingClient(StoreClient):
    def __init__(self, endpoints: Sequence[str], context: ssl.SSLContext, values: Values) -> None:
        super().__init__(endpoints, context)
        self.values = values

    async def is_stale(self, key: bytes) -> bool:
        """Whether the value is to be written anew, though nothing in it has changed. Raises StoreError."""
        found = await super().range(key)
        await self.values.prepare(found.kvs)
        return any(map(self.values.is_stale, found.kvs))

    async def range(self, key: bytes, range_end: bytes = b"", **options: Any) -> t.RangeResponse:
        found = await super().range(key, range_end, **options)
        await self.values.prepare(found.kvs)
        response: t.RangeResponse = self.values.answered(found)
        return response

    async def put(
        self,
        key: bytes,
        value: bytes,
        lease: int = 0,
        prev_kv: bool = False,
        ignore_value: bool = False,
        ignore_lease: bool = False,
    ) -> t.PutResponse:
        encrypted = self.values.encrypt(key, value)
        response: t.PutResponse = self.values.answered(
            await super().put(key, encrypted, lease, prev_kv, ignore_value, ignore_lease)
        )
        return response

    async def delete_range(
        self, key: bytes, range_end: bytes = b"", prev_kv: bool = False
    ) -> t.DeleteRangeResponse:
        response: t.DeleteRangeResponse = self.values.answered(
            await super().delete_range(key, range_end, prev_kv)
        )
        return response

    async def txn(
        self,
        compares: Sequence[t.Compare] = (),
        success: Sequence[t.Operation] = (),
        failure: Sequence[t.Operation] = (),
    ) -> t.TxnResponse:
        assert all(each.target != "VALUE" for each in compares), "what is encrypted cannot be compared"
        done = [self.values.encrypted(each) for each in success]
        undone = [self.values.encrypted(each) for each in failure]
        answer = await super().txn(compares, done, undone)
        await self.values.prepare(_read_by(answer))
        response: t.TxnResponse = self.values.answered(answer)
        return response

    def watch(
        self,
        key: bytes,
        range_end: bytes = b"",
        start_revision: int = 0,
        prev_kv: bool = False,
        progress_notify: bool = True,
        filters: Sequence[str] = (),
    ) -> Watch:
        watch = DecryptingWatch(
            self._transport, key, range_end, start_revision, prev_kv, progress_notify, tuple(filters)
        )
        watch.values = self.values
        self._watches.add(watch)
        watch.on_close = self._watches.discard
        return watch


def _read_by(response: t.TxnResponse) -> Iterator[t.KeyValue]:
    for each in response.responses:
        if isinstance(each, t.RangeResponse):
            yield from each.kvs


class DecryptingWatch(Watch):
    values: Values

    async def __anext__(self) -> t.WatchResponse:
        response = await super().__anext__()
        if not response.events:
            return response
        await self.values.prepare(event.kv for event in response.events)
        return with_fields(response, events=[self.values.event(each) for each in response.events])
