"""Which devices are taken, and how much of those that can be shared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from control_plane.api.quantity import parse
from control_plane.client.types import Obj
from control_plane.scheduler.dynamic_resources.devices import DeviceId


@dataclass(slots=True)
class Usage:
    """Counted, so that claims can come and go one by one. Administrators' access takes nothing."""

    taken: Counter[DeviceId] = field(default_factory=Counter)
    consumed: dict[DeviceId, Counter[str]] = field(default_factory=dict)  # nanos by capacity
    _shares: Counter[DeviceId] = field(default_factory=Counter)

    def add(self, allocation: Obj, sign: int = 1) -> None:
        for device, shared, amounts in _results(allocation):
            if not shared:
                self.taken[device] += sign
                if self.taken[device] <= 0:
                    del self.taken[device]
                continue
            self._shares[device] += sign
            sums = self.consumed.setdefault(device, Counter())
            for name, amount in amounts.items():
                sums[name] += sign * amount
            if self._shares[device] <= 0:
                del self._shares[device], self.consumed[device]

    def remove(self, allocation: Obj) -> None:
        self.add(allocation, -1)

    def uses(self, device: DeviceId) -> bool:
        return device in self.taken or device in self.consumed


def _results(allocation: Obj) -> Iterator[tuple[DeviceId, bool, Mapping[str, int]]]:
    for each in (allocation.get("devices") or {}).get("results") or ():
        if each.get("adminAccess"):
            continue
        consumed = {
            name: parse(amount).nanos for name, amount in (each.get("consumedCapacity") or {}).items()
        }
        yield (each["driver"], each["pool"], each["device"]), bool(each.get("shareID")), consumed
