"""The checker itself: small histories whose answer is known, and random ones made good or bad on purpose."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from tests.sim.linearizability import IGNORED, Compare, Do, Operation, check

A, B = b"a", b"b"
INFINITE = math.inf


def put(called: float, returned: float, value: bytes, before: Any = IGNORED, key: bytes = A) -> Operation:
    done = None if returned == INFINITE else True
    return Operation("p", called, (), (Do("put", key, value),), (), returned, done, (before,))


def get(called: float, returned: float, found: Any, key: bytes = A) -> Operation:
    return Operation("g", called, (), (Do("get", key),), (), returned, True, (found,))


def delete(called: float, returned: float, before: Any = IGNORED) -> Operation:
    done = None if returned == INFINITE else True
    return Operation("d", called, (), (Do("delete", A),), (), returned, done, (before,))


def cas(called: float, returned: float, expect: bytes | None, value: bytes, succeeded: bool) -> Operation:
    return Operation(
        "c",
        called,
        (Compare(A, expect),),
        (Do("put", A, value),),
        (),
        returned,
        succeeded,
        (IGNORED,) * succeeded,
    )


def both(called: float, returned: float, value: bytes) -> Operation:
    puts = (Do("put", A, value), Do("put", B, value))
    return Operation("t", called, (), puts, (), returned, True, (IGNORED, IGNORED))


CASES = {
    "in order": (True, [put(0, 1, b"1"), get(2, 3, (b"1", 1))]),
    "a read of nothing before the first write": (True, [get(0, 1, None), put(2, 3, b"1")]),
    "stale read": (False, [put(0, 1, b"1"), put(2, 3, b"2"), get(4, 5, (b"1", 1))]),
    "lost write": (False, [put(0, 1, b"1"), get(2, 3, None)]),
    "concurrent read sees the old": (True, [put(0, 1, b"1"), put(2, 9, b"2"), get(3, 4, (b"1", 1))]),
    "concurrent read sees the new": (True, [put(0, 1, b"1"), put(2, 9, b"2"), get(3, 4, (b"2", 2))]),
    "new, then old": (
        False,
        [put(0, 1, b"1"), put(2, 9, b"2"), get(3, 4, (b"2", 2)), get(5, 6, (b"1", 1))],
    ),
    "applied twice": (False, [put(0, 1, b"1"), get(2, 3, (b"1", 2))]),
    "no answer, happened": (True, [put(0, INFINITE, b"1"), get(2, 3, (b"1", 1))]),
    "no answer, never happened": (True, [put(0, INFINITE, b"1"), get(2, 3, None)]),
    "no answer, happened late": (True, [put(0, INFINITE, b"1"), get(2, 3, None), get(4, 5, (b"1", 1))]),
    "no answer, happened and was undone": (
        False,
        [put(0, INFINITE, b"1"), get(2, 3, (b"1", 1)), get(4, 5, None)],
    ),
    "a version begins anew after a delete": (
        True,
        [put(0, 1, b"1"), delete(2, 3, (b"1", 1)), put(4, 5, b"2", None), get(6, 7, (b"2", 1))],
    ),
    "one of two wins": (True, [cas(0, 5, None, b"1", True), cas(0, 5, None, b"2", False)]),
    "two of two win": (False, [cas(0, 5, None, b"1", True), cas(0, 5, None, b"2", True)]),
    "refused without a reason": (False, [cas(0, 1, None, b"1", False)]),
    "a transaction is seen whole": (
        True,
        [both(0, 1, b"1"), get(2, 3, (b"1", 1)), get(2, 3, (b"1", 1), B)],
    ),
    "a transaction is seen in part": (
        False,
        [both(0, 1, b"1"), both(2, 9, b"2"), get(3, 4, (b"2", 2), B), get(5, 6, (b"1", 1), A)],
    ),
}


@pytest.mark.parametrize(("linearizable", "history"), CASES.values(), ids=CASES.keys())
def test_small_histories(linearizable: bool, history: list[Operation]) -> None:
    assert check(history).linearizable is linearizable


def history(rng: random.Random, length: int, clients: int) -> list[Operation]:
    """Linearizable by construction: every operation happens at a moment between its call and its return."""
    state: dict[bytes, tuple[bytes, int] | None] = {A: None, B: None}
    free_at = [0.0] * clients
    operations, now = [], 0.0
    for number in range(length):
        client = rng.randrange(clients)
        now = max(now, free_at[client]) + rng.random()
        key, value = rng.choice([A, B]), b"%d" % number
        before = state[key]
        if rng.random() < 0.5:
            operation = get(now - rng.random(), now + rng.random(), before, key)
        else:
            operation = put(now - rng.random(), now + rng.random(), value, before, key)
            state[key] = (value, before[1] + 1 if before else 1)
            if rng.random() < 0.05:
                operation.returned, operation.succeeded = INFINITE, None
        free_at[client] = now + 1.0
        operations.append(operation)
    return operations


@pytest.mark.parametrize("seed", range(20))
def test_random_good_histories_pass_without_hints(seed: int) -> None:
    verdict = check(history(random.Random(seed), 300, 4))
    assert verdict.linearizable
    assert not verdict.unknown


@pytest.mark.parametrize("seed", range(20))
def test_a_read_from_the_past_is_found(seed: int) -> None:
    rng = random.Random(seed)
    operations = history(rng, 200, 4)
    reads = [each for each in operations if each.success[0].kind == "get" and each.called > 50]
    reads[-1].results = ((b"never written", 1),)
    assert not check(operations).linearizable
