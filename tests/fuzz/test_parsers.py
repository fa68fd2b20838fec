"""No bytes crash a parser, hang it or make it hold more than it may. `make fuzz` looks longer, by coverage."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, seeds

EXAMPLES = 300

Edit = tuple[int, int, bytes]  # where (of the length, in thousandths), how many bytes go, what comes instead

EDITS = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 9), st.binary(max_size=9)), max_size=4)


def edited(data: bytes, edits: list[Edit]) -> bytes:
    for where, gone, come in edits:
        at = len(data) * where // 1000
        data = data[:at] + come + data[at + gone :]
    return data


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_are_understood(name: str) -> None:
    """An input that is refused at its first byte would prove little."""
    assert all(map(TARGETS[name], seeds(name)))


@pytest.mark.parametrize("name", TARGETS)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_bytes(name: str, data: st.DataObject) -> None:
    seed = data.draw(st.sampled_from([b"", *SEEDS[name]]))
    edits = data.draw(EDITS)
    TARGETS[name](edited(seed, edits) if seed else data.draw(st.binary(max_size=400)))


SEEDS = {name: seeds(name) for name in TARGETS}
