"""Clients that write down what they asked and were told, and watchers that write down what they were shown.

Keys come in groups of four that transactions join, and a group is used for a few seconds: a history of
millions of operations then falls apart into small ones, each of which is searched for a linearization.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

from store.client import Compare as C
from store.client import Event, Op, OutcomeUnknown, StoreClient, StoreError
from tests.sim.linearizability import Compare, Do, Operation
from tests.sim.operations import Asker

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
        self._asker = Asker(name, rng)
        self._finished = finished  # times of answers, of all workers

    async def run(self, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        while not stop.is_set():
            operation = self._asker.choose(self._keys(loop.time()), loop.time())
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
                self._asker.told(operation, response, loop.time())
                self._asker.forget(10 * GROUPS * GROUP_KEYS)
                self._finished.append(operation.returned)

    def _keys(self, now: float) -> list[bytes]:
        group = b"%s%06d/%d/" % (PREFIX, int(now / GROUP_S) % 1_000_000, self._rng.randrange(GROUPS))
        return [group + b"%d" % number for number in range(GROUP_KEYS)]

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


class Watcher:
    def __init__(self, client: StoreClient, start_revision: int) -> None:
        self._client = client
        self._start = start_revision
        self.events: list[Event] = []

    async def run(self) -> None:
        end = PREFIX[:-1] + bytes((PREFIX[-1] + 1,))
        async for response in self._client.watch(PREFIX, end, start_revision=self._start):
            self.events.extend(response.events)
