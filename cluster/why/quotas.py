"""Quotas that are used up. Pure."""

from __future__ import annotations

import re

from cluster.why.cause import Cause
from cluster.why.world import World
from control_plane.api import meta
from control_plane.api.quantity import parse_or_zero
from control_plane.client.types import Obj


def exhausted(world: World) -> list[Cause]:
    found = []
    for quota in world.all("resourcequotas"):
        status = quota.get("status") or {}
        used, hard = status.get("used") or {}, status.get("hard") or {}
        full = [key for key in hard if parse_or_zero(hard[key]).nanos <= parse_or_zero(used.get(key)).nanos]
        full = [key for key in full if parse_or_zero(hard[key]).nanos > 0]
        if full:
            facts = tuple(f"{key}: {used.get(key, '0')} of {hard[key]}" for key in sorted(full))
            found.append(
                Cause(f"resourcequota/{meta.name_of(quota)}", "is used up", facts, do=(_step(quota),))
            )
    return found


def named_in(world: World, message: str) -> Cause | None:
    """The quota that an admission's refusal names."""
    match = re.search(r"exceeded quota: ([^,\s]+)", message) or re.search(r"failed quota: ([^:\s]+)", message)
    quota = world.get("resourcequotas", match[1]) if match else None
    if quota is None:
        return None
    status = quota.get("status") or {}
    used, hard = status.get("used") or {}, status.get("hard") or {}
    facts = tuple(f"{key}: {used.get(key, '0')} of {hard[key]} used" for key in sorted(hard))
    return Cause(f"resourcequota/{meta.name_of(quota)}", "allows no more", facts, do=(_step(quota),))


def _step(quota: Obj) -> str:
    return f"raise spec.hard of the quota {meta.name_of(quota)}, or delete what uses it up"
