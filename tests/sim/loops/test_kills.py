"""Some of the moments at which a process can be killed; `python -m tests.sim.loops --kills` tries them all."""

from __future__ import annotations

import pytest

from tests.sim.loops import kills

SAMPLES = 5  # of each process


def test_a_kill_changes_nothing_in_the_outcome() -> None:
    expected, writes = kills.undisturbed(), kills.writes()
    assert min(writes.values()) > SAMPLES
    for process, count in writes.items():
        for number in range(0, count, count // SAMPLES):
            kills.kill_at(process, number, after=bool(number % 2), expected=expected)


def test_a_kill_that_is_not_made_good_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a successor nothing gets done."""
    monkeypatch.setattr(kills, "TAKEOVER_S", 1e9)
    with pytest.raises(kills.Wrong, match="controllers killed before its write 3"):
        kills.kill_at("controllers", 3, after=False, expected=kills.undisturbed())
