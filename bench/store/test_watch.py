"""Watch fan-out: one change to N watchers, from the state machine to the bytes of every stream.

pytest bench/store/test_watch.py --benchmark-only
"""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from store.api import commands as c
from store.api.json_encode import encode_header, encode_watch
from store.api.leases import LeaseKeeper
from store.api.machine import StoreMachine
from store.api.messages import Header
from store.mvcc.messages import PutRequest
from store.watch.stream import Spec

VALUE = b"v" * 256
BATCH = 10
HEADER = encode_header(Header(1, 2, 3, 4))


@pytest.mark.parametrize("same", [True, False], ids=["same range", "ranges of their own"])
@pytest.mark.parametrize("watchers", [1, 100, 1000])
def test_fan_out(benchmark: Any, watchers: int, same: bool) -> None:
    """One round: ten puts in a batch reach every watcher's stream as encoded lines."""
    machine = StoreMachine(LeaseKeeper(lambda: 0.0))
    streams = [machine.hub.open_stream(lambda: None) for _ in range(watchers)]
    for number, stream in enumerate(streams):
        end = b"/registry0" if same else b"/registry0%d" % number
        machine.hub.create(stream, Spec(b"/registry/", end), 0, False)
        stream.take()
    numbers = count()

    def setup() -> tuple[tuple[list[bytes]], dict[str, Any]]:
        return ([c.encode(PutRequest(b"/registry/%d" % next(numbers), VALUE)) for _ in range(BATCH)],), {}

    def fan_out(commands: list[bytes]) -> int:
        machine.apply(1, commands)
        return sum(len(encode_watch(HEADER, line)) for stream in streams for line in stream.take())

    benchmark.pedantic(fan_out, setup=setup, rounds=100 if watchers < 1000 else 20)
