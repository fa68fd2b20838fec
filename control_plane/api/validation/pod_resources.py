"""What a pod asks for as a whole (`spec.resources`, KEP 2837)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from control_plane.api import errors
from control_plane.api.pod_resources import HUGE_PAGES, of_container, of_containers, of_pod_level
from control_plane.api.validation import resources
from control_plane.api.validation.registry import Errors

Spec = Mapping[str, Any]


def pod_level(path: str, spec: Spec) -> Errors:
    asked = spec.get("resources")
    if asked is None:
        return
    if (spec.get("os") or {}).get("name") == "windows":
        yield errors.forbidden_field(path, "may not be set for a windows pod")
        return
    if asked.get("claims"):
        yield errors.forbidden_field(f"{path}.claims", "claims cannot be set for Resources at pod-level")
    yield from resources.requirements(path, asked, resources.pod_level_name)
    yield from _consistent(path, spec)


def _consistent(path: str, spec: Spec) -> Errors:
    """The whole is no less than its parts."""
    for kind in ("requests", "limits"):
        whole = of_pod_level(spec, kind)
        together = of_containers(spec, partial(of_container, kind=kind))
        for name, amount in sorted(together.items()):
            counts = kind == "requests" or name.startswith(HUGE_PAGES)
            if counts and name in whole and amount > whole[name]:
                text = f"must be greater than or equal to aggregate container {kind} of {amount}"
                yield errors.invalid_value(f"{path}.{kind}[{name}]", str(whole[name]), text)
    limits = of_pod_level(spec, "limits")
    for index, container in enumerate(spec.get("containers") or ()):
        for name, amount in sorted(of_container(container, "limits").items()):
            if name in limits and amount > limits[name]:
                where = f"{path}.containers[{index}][{name}].limits"
                text = f"must be less than or equal to pod limits of {limits[name]}"
                yield errors.invalid_value(where, str(amount), text)
