"""DeviceTaintRules, laid over what slices say of their devices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from control_plane.api.device_taints import selects
from control_plane.client.types import Obj
from control_plane.scheduler.dynamic_resources.devices import Device, Slice
from control_plane.scheduler.framework.affinity import taints


def tainted(slices: Iterable[Slice], rules: Sequence[Obj]) -> Iterator[Slice]:
    """The same slices, where nothing is selected."""
    for each in slices:
        devices = tuple(_tainted(device, rules) for device in each.devices)
        same = all(after is before for after, before in zip(devices, each.devices, strict=True))
        yield each if same else replace(each, devices=devices)


def _tainted(device: Device, rules: Sequence[Obj]) -> Device:
    more = [rule["spec"]["taint"] for rule in rules if selects(rule, device.id)]
    return replace(device, taints=(*device.taints, *taints(more))) if more else device
