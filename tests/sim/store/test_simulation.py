"""A bounded part of the simulation; `make sim` runs the rest.

`SIM_SEEDS=0-9999` in the environment runs others. A failure names its seed and the command that replays it.
"""

from __future__ import annotations

import os

import pytest

from tests.sim.store import mutations
from tests.sim.store.simulation import MIN_FAULTS, MIN_OPERATIONS, run_seed

SEEDS_PER_TEST = 10
FIRST, _, LAST = os.environ.get("SIM_SEEDS", "0-79").partition("-")
QUICKLY_FOUND = {
    "B1-snapshot-piece-commits": 20,
    "B2-append-drops-all-behind": 10,
    "B4-snapshot-clears-the-log-at-start": 10,
    "B6-compaction-in-place": 10,
    "B7-callback-error-applies-again": 10,
    "fsync-dropped": 10,
    "acknowledged-before-the-sync": 10,
    "vote-forgotten-at-restart": 20,
    "read-without-a-quorum": 60,
    "duplicate-proposal-applied-twice": 60,
    "proposed-again-in-a-later-term": 20,
    "watch-resumed-off-by-one": 10,
}
"""Defect → seeds within which it must show; `python -m tests.sim.store --mutations` has them all."""


@pytest.mark.parametrize("first", range(int(FIRST), int(LAST or FIRST) + 1, SEEDS_PER_TEST))
def test_seeds(first: int) -> None:
    for seed in range(first, min(first + SEEDS_PER_TEST, int(LAST or FIRST) + 1)):
        report = run_seed(seed)
        assert not report.violation, (
            f"seed {seed}: {report.violation}\nreplay: python -m tests.sim.store --seed {seed} --trace"
        )
        assert report.operations >= MIN_OPERATIONS
        assert report.faults >= MIN_FAULTS


def test_a_seed_replays_exactly() -> None:
    traces: list[list[str]] = [[], []]
    reports = [run_seed(5, trace.append) for trace in traces]
    assert traces[0] == traces[1]
    assert reports[0] == reports[1]


@pytest.mark.parametrize("name", QUICKLY_FOUND)
def test_a_defect_is_found(name: str) -> None:
    with mutations.applied(name):
        assert any(run_seed(seed).violation for seed in range(QUICKLY_FOUND[name])), f"{name} was not found"
