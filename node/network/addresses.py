"""Which addresses a range has left. Pure.

Addresses are handed out in turn and a released one comes last, so that what still knows a pod by its old
address does not meet another one there at once.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from node.network.errors import NoAddress

RESERVED = 2  # the network's own address and the gateway


class AddressPool:
    def __init__(self, cidr: str, taken: Iterable[str] = ()) -> None:
        self.network = ipaddress.IPv4Network(cidr)
        self.gateway = str(self.network[1])
        self._taken = set(taken)
        self._next = RESERVED
        if self._taken:
            last = max(ipaddress.IPv4Address(each) for each in self._taken)
            self._next = int(last) - int(self.network.network_address) + 1

    def allocate(self) -> str:
        """Raises NoAddress."""
        usable = self.network.num_addresses - RESERVED - 1  # the last one is the broadcast address
        for step in range(usable):
            offset = RESERVED + (self._next - RESERVED + step) % usable
            address = str(self.network[offset])
            if address not in self._taken:
                self._taken.add(address)
                self._next = offset + 1
                return address
        raise NoAddress(f"no address is left in {self.network}")

    def release(self, address: str) -> None:
        self._taken.discard(address)

    def interface(self, address: str) -> ipaddress.IPv4Interface:
        return ipaddress.IPv4Interface(f"{address}/{self.network.prefixlen}")
