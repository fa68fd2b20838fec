"""A few seeds with every run of the tests; `make sim` runs many."""

from __future__ import annotations

import pytest

from tests.sim.loops.world import simulate


@pytest.mark.parametrize("seed", range(12))
def test_the_world_becomes_what_its_specifications_say(seed: int) -> None:
    simulate(seed)
