from __future__ import annotations

import pytest

from node.network.addresses import AddressPool
from node.network.errors import NoAddress


def test_in_turn_and_released_ones_last() -> None:
    pool = AddressPool("10.0.0.0/29")
    assert [pool.allocate() for _ in range(3)] == ["10.0.0.2", "10.0.0.3", "10.0.0.4"]
    pool.release("10.0.0.2")
    assert [pool.allocate() for _ in range(3)] == ["10.0.0.5", "10.0.0.6", "10.0.0.2"]
    with pytest.raises(NoAddress):
        pool.allocate()


@pytest.mark.parametrize(
    ("taken", "first"),
    [([], "10.0.0.2"), (["10.0.0.2"], "10.0.0.3"), (["10.0.0.6"], "10.0.0.2"), (["10.0.0.4"], "10.0.0.5")],
)
def test_goes_on_after_what_is_taken(taken: list[str], first: str) -> None:
    assert AddressPool("10.0.0.0/29", taken).allocate() == first


def test_the_gateway_is_the_first() -> None:
    pool = AddressPool("10.244.3.0/24")
    assert pool.gateway == "10.244.3.1"
    assert str(pool.interface("10.244.3.2")) == "10.244.3.2/24"
