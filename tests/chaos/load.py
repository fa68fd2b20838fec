"""Clients that write down what they asked and were told, and watchers that write down what they were shown.

Keys come in groups of four that transactions join, and a group is used for a few seconds: a history of
millions of operations then falls apart into small ones, each of which is searched for a linearization.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from store.client import Compare as C
from store.client import Event, Op, OutcomeUnknown, StoreClient, StoreError
from tests.sim.linearizability import Compare, Do, Operation, Value

PREFIX = b"/chaos/"
GROUPS = 6
GROUP_S = 2.0
GROUP_KEYS = 4


class Worker:
    def __init__(self, name: str, client: StoreClient, rng: random.Random, finished: list[float]) -> None:
        self.name = name
        self.history: list[Operation] = []
        self.errors = 0
        self._client = client
        self._rng = rng
        self._finished = finished  # times of answers, of all workers
        self._number = 0
        self._seen: dict[bytes, bytes | None] = {}

    async def run(self, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        while not stop.is_set():
            operation = self._choose(loop.time())
            self.history.append(operation)
            try:
                response = await self._send(operation)
            except OutcomeUnknown:
                self.errors += 1
                if not operation.is_write:
                    self.history.pop()
            except StoreError:  # certainly not applied
                self.errors += 1
                self.history.pop()
                await asyncio.sleep(0.01)
            else:
                operation.returned = loop.time()
                self._record(operation, response)
                self._finished.append(operation.returned)

    def _choose(self, now: float) -> Operation:
        rng = self._rng
        group = b"%s%06d/%d/" % (PREFIX, int(now / GROUP_S) % 1_000_000, rng.randrange(GROUPS))
        keys = [group + b"%d" % number for number in range(GROUP_KEYS)]
        key, other = rng.sample(keys, 2)
        operation = Operation(self.name, now)
        kind = rng.random()
        if kind < 0.3:
            operation.success = (Do("get", key),)
        elif kind < 0.6:
            operation.success = (Do("put", key, self._value()),)
        elif kind < 0.65:
            operation.success = (Do("delete", key),)
        elif kind < 0.8:
            operation.compares = (Compare(key, self._seen.get(key)),)
            operation.success = (Do("put", key, self._value()),)
            operation.failure = (Do("get", key),)
        elif kind < 0.92:
            operation.compares = (Compare(key, self._seen.get(key)),)
            operation.success = (Do("put", key, self._value()), Do("put", other, self._value()))
            operation.failure = (Do("get", key), Do("get", other))
        else:
            operation.success = tuple(Do("get", each) for each in keys)
        return operation

    def _value(self) -> bytes:
        self._number += 1
        return b"%s-%d" % (self.name.encode(), self._number)

    async def _send(self, operation: Operation) -> Any:
        client = self._client
        if not operation.compares and len(operation.success) == 1:
            do = operation.success[0]
            if do.kind == "get":
                return await client.range(do.key)
            if do.kind == "put":
                return await client.put(do.key, do.value, prev_kv=True)
            return await client.delete_range(do.key, prev_kv=True)
        return await client.txn(
            [_compare(each) for each in operation.compares],
            [_op(each) for each in operation.success],
            [_op(each) for each in operation.failure],
        )

    def _record(self, operation: Operation, response: Any) -> None:
        operation.hint = response.revision
        if hasattr(response, "responses"):
            operation.succeeded = response.succeeded
            operation.results = tuple(map(_result, response.responses))
        else:
            operation.succeeded = True
            operation.results = (_result(response),)
        branch = operation.success if operation.succeeded else operation.failure
        for do, result in zip(branch, operation.results, strict=True):
            if do.kind == "put":
                self._seen[do.key] = do.value
            else:
                self._seen[do.key] = None if result is None or do.kind == "delete" else result[0]
        if len(self._seen) > 10 * GROUPS * GROUP_KEYS:
            self._seen.clear()


def _compare(compare: Compare) -> C:
    if compare.value is None:
        return C.create_revision(compare.key, "=", 0)
    return C.value(compare.key, "=", compare.value)


def _op(do: Do) -> Any:
    if do.kind == "get":
        return Op.range(do.key)
    if do.kind == "put":
        return Op.put(do.key, do.value, prev_kv=True)
    return Op.delete(do.key, prev_kv=True)


def _result(response: Any) -> Value:
    if hasattr(response, "kvs"):
        found: Sequence[Any] = response.kvs
    elif hasattr(response, "prev_kvs"):
        found = response.prev_kvs
    else:
        found = [response.prev_kv] if response.prev_kv is not None else []
    return (found[0].value, found[0].version) if found else None


class Watcher:
    def __init__(self, client: StoreClient, start_revision: int) -> None:
        self._client = client
        self._start = start_revision
        self.events: list[Event] = []

    async def run(self) -> None:
        end = PREFIX[:-1] + bytes((PREFIX[-1] + 1,))
        async for response in self._client.watch(PREFIX, end, start_revision=self._start):
            self.events.extend(response.events)
