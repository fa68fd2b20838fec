"""Choosing free addresses and ports."""

from __future__ import annotations

import ipaddress
from random import Random

import pytest

from control_plane.apiserver.services.ranges import (
    Exhausted,
    PortRange,
    choose_address,
    first_address,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30000-32767", PortRange(30000, 32767)),
        ("30000+2767", PortRange(30000, 32767)),
        ("8080", PortRange(8080, 8080)),
    ],
)
def test_port_ranges(text: str, expected: PortRange) -> None:
    assert PortRange.parse(text) == expected


@pytest.mark.parametrize("seed", range(5))
def test_every_port_is_found_once(seed: int) -> None:
    ports, taken = PortRange(30000, 30199), set[int]()
    while len(taken) < 200:
        port = ports.choose(taken.__contains__, Random(seed))
        assert port in ports
        assert port not in taken
        taken.add(port)
    with pytest.raises(Exhausted):
        ports.choose(taken.__contains__, Random(seed))


def test_the_lower_band_is_left_to_those_who_choose_themselves() -> None:
    ports = PortRange(30000, 32767)
    drawn = {ports.choose(lambda _: False, Random(seed)) for seed in range(300)}
    assert min(drawn) >= 30000 + 86


@pytest.mark.parametrize("network", ["10.96.0.0/28", "fd00::/124"])
def test_addresses_fill_a_network(network: str) -> None:
    parsed = ipaddress.ip_network(network)
    size = 14 if parsed.version == 4 else 15
    taken: set[str] = set()
    for _ in range(size):
        address = choose_address(parsed, taken.__contains__, Random(1))
        assert ipaddress.ip_address(address) in parsed
        taken.add(address)
    with pytest.raises(Exhausted):
        choose_address(parsed, taken.__contains__, Random(1))
    assert len(taken) == size
    assert first_address(parsed) in taken
