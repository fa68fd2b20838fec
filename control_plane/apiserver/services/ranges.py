"""Choosing a free address or port. Pure: the taken ones and the source of chance are handed in.

The lower part of a range is left to those who name their address or port themselves, as long as the upper part
has room (KEP-3070, KEP-3668).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

RANDOM_ATTEMPTS = 16
MAX_SCANNED = 1 << 16


class Exhausted(Exception):
    """Nothing in the range is free."""


@dataclass(frozen=True, slots=True)
class PortRange:
    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> PortRange:
        """`30000-32767`, or `30000+2767`. Raises ValueError."""
        if "+" in text:
            base, _, size = text.partition("+")
            return cls(int(base), int(base) + int(size))
        base, _, last = text.partition("-")
        return cls(int(base), int(last or base))

    def __contains__(self, port: int) -> bool:
        return self.first <= port <= self.last

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"

    def choose(self, taken: Callable[[int], bool], random: Random) -> int:
        """Raises Exhausted."""
        size = self.last - self.first + 1
        band = _band(size, 16, 32, 128)
        return self.first + _choose(size, band, lambda offset: taken(self.first + offset), random)


def choose_address(network: Network, taken: Callable[[str], bool], random: Random) -> str:
    """Not the network's own address, nor (IPv4) its broadcast address. Raises Exhausted."""
    size = network.num_addresses - (2 if network.version == 4 else 1)
    first = int(network.network_address) + 1
    make = ipaddress.IPv4Address if network.version == 4 else ipaddress.IPv6Address

    def is_taken(offset: int) -> bool:
        return taken(str(make(first + offset)))

    return str(make(first + _choose(size, _band(size, 16, 16, 256), is_taken, random)))


def first_address(network: Network) -> str:
    return str(network.network_address + 1)


def _band(size: int, smallest: int, divisor: int, largest: int) -> int:
    if size <= smallest:
        return 0
    return min(max(smallest, size // divisor), largest)


def _choose(size: int, band: int, taken: Callable[[int], bool], random: Random) -> int:
    if size <= 0:
        raise Exhausted
    for _ in range(RANDOM_ATTEMPTS):
        offset = random.randrange(band, size)
        if not taken(offset):
            return offset
    scanned: tuple[int, ...] = (*range(band, min(size, MAX_SCANNED)), *range(min(band, size)))
    for offset in scanned:
        if not taken(offset):
            return offset
    raise Exhausted
