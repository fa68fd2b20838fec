"""What a client of a test asks, and how what it was told goes into the history; for simulated members and
real ones alike.

Reads, writes, deletes, compare-and-swap on what was last seen, transactions over several keys, in fixed
proportions.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from tests.sim.linearizability import Compare, Do, Operation, Value


class Asker:
    """Chooses one client's operations; it remembers what it saw of each key, to compare with."""

    def __init__(self, name: str, rng: random.Random) -> None:
        self.name = name
        self._rng = rng
        self._written = 0
        self._seen: dict[bytes, bytes | None] = {}

    def choose(self, keys: Sequence[bytes], now: float) -> Operation:
        rng = self._rng
        kind = rng.random()
        key, other = rng.sample(keys, 2)
        operation = Operation(self.name, now)
        if kind < 0.32:
            operation.success = (Do("get", key),)
        elif kind < 0.58:
            operation.success = (Do("put", key, self._value()),)
        elif kind < 0.64:
            operation.success = (Do("delete", key),)
        elif kind < 0.80:
            operation.compares = (Compare(key, self._seen.get(key)),)
            operation.success = (Do("put", key, self._value()),)
            operation.failure = (Do("get", key),)
        elif kind < 0.90:
            operation.compares = (Compare(key, self._seen.get(key)),)
            operation.success = (Do("put", key, self._value()), Do("put", other, self._value()))
            operation.failure = (Do("get", key), Do("get", other))
        else:
            operation.success = tuple(Do("get", each) for each in keys)
        return operation

    def _value(self) -> bytes:
        self._written += 1
        return b"%s-%d" % (self.name.encode(), self._written)

    def told(self, operation: Operation, response: Any, now: float) -> None:
        """`response` is the store's own, or its client's: their fields are named alike."""
        operation.returned = now
        operation.hint = response.revision
        if hasattr(response, "responses"):
            operation.succeeded = response.succeeded
            operation.results = tuple(map(_result, response.responses))
        else:
            operation.succeeded = True
            operation.results = (_result(response),)
        branch = operation.success if operation.succeeded else operation.failure
        for do, result in zip(branch, operation.results, strict=True):
            if do.kind == "get":
                self._seen[do.key] = None if result is None else result[0]
            elif do.kind == "put":
                self._seen[do.key] = do.value

    def forget(self, most: int) -> None:
        """Drop what was seen once it is more than that, for keys that go out of use."""
        if len(self._seen) > most:
            self._seen.clear()


def _result(response: Any) -> Value:
    """What was there before a write, or what a read found."""
    if hasattr(response, "kvs"):
        found: Sequence[Any] = response.kvs
    elif hasattr(response, "prev_kvs"):
        found = response.prev_kvs
    else:
        found = [response.prev_kv] if response.prev_kv is not None else []
    return (found[0].value, found[0].version) if found else None
