"""MVCC apply: commands per second through the state machine, and reads of what they wrote.

pytest bench/store/test_mvcc.py --benchmark-only
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from store.api import commands as c
from store.api.leases import LeaseKeeper
from store.api.machine import StoreMachine
from store.mvcc.messages import Compare, PutRequest, RangeRequest, RequestOp, TxnRequest

BATCH = 100
VALUE = b"v" * 256
KEYS = 100_000


def machine() -> StoreMachine:
    return StoreMachine(LeaseKeeper(lambda: 0.0))


def new_keys(n: int) -> bytes:
    return c.encode(PutRequest(b"/registry/bench/%08d" % n, VALUE))


def same_keys(n: int) -> bytes:
    return c.encode(PutRequest(b"/registry/bench/%08d" % (n % 1000), VALUE))


def guarded(n: int) -> bytes:
    """What a create of kube-apiserver is."""
    key = b"/registry/bench/%08d" % n
    return c.encode(
        TxnRequest(
            [Compare("EQUAL", "MOD", key)],
            [RequestOp(request_put=PutRequest(key, VALUE))],
            [RequestOp(request_range=RangeRequest(key))],
        )
    )


@pytest.mark.parametrize("command", [new_keys, same_keys, guarded], ids=lambda each: each.__name__)
def test_apply(benchmark: Any, command: Callable[[int], bytes]) -> None:
    """One round applies a batch of 100 commands."""
    state = machine()
    numbers = count()

    def setup() -> tuple[tuple[int, list[bytes]], dict[str, Any]]:
        return (1, [command(next(numbers)) for _ in range(BATCH)]), {}

    benchmark.pedantic(state.apply, setup=setup, rounds=300)


@pytest.fixture(scope="module")
def filled() -> StoreMachine:
    state = machine()
    state.apply(1, [new_keys(number) for number in range(KEYS)])
    return state


RANGES = {
    "one key": RangeRequest(b"/registry/bench/00000500"),
    "page of 500": RangeRequest(b"/registry/bench/", b"/registry/bench0", limit=500),
    "count of 100k": RangeRequest(b"/registry/bench/", b"/registry/bench0", count_only=True),
    "page of 500 in the past": RangeRequest(
        b"/registry/bench/", b"/registry/bench0", limit=500, revision=99_000
    ),
}


@pytest.mark.parametrize("request_", RANGES.values(), ids=RANGES)
def test_range(benchmark: Any, filled: StoreMachine, request_: RangeRequest) -> None:
    benchmark(filled.store.range, request_)


def test_snapshot_of_100k_keys(benchmark: Any, filled: StoreMachine) -> None:
    """All chunks of 256-byte values; the loop serves others between chunks."""
    benchmark.pedantic(lambda: sum(map(len, filled.snapshot().chunks())), rounds=5)


def test_restore_of_100k_keys(benchmark: Any, filled: StoreMachine) -> None:
    chunks = list(filled.snapshot().chunks())
    benchmark.pedantic(lambda: machine().restore(chunks), rounds=3)
