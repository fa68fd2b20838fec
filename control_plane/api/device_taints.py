"""DeviceTaintRule (KEP 5055): a taint on every device that the rule selects, as if its driver had published it."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]
DeviceId = tuple[str, str, str]  # driver, pool, device

_CRITERIA = ("driver", "pool", "device")


def selects(rule: Object, device: DeviceId) -> bool:
    """All criteria that are given must hold: an empty selector selects every device, no selector none."""
    selector = rule["spec"].get("deviceSelector")
    if selector is None:
        return False
    return all(selector.get(name, value) == value for name, value in zip(_CRITERIA, device, strict=True))
