"""Devices that have to be made ready once they are allocated (binding conditions, KEP-5007). Pure.

Such a device names conditions that its driver sets in the claim's status: the pod is bound when all of them are
true; one of the others that is true means that it will not come to that.
"""

from __future__ import annotations

from control_plane.api import meta
from control_plane.client.types import Obj


def failure(claim: Obj) -> str:
    """What went wrong; "" when nothing has."""
    for result, true in _conditions(claim):
        for name in result.get("bindingFailureConditions") or ():
            if name in true:
                return f"device {_shown(result)} of claim {meta.key_of(claim)} cannot be used: {name}"
    return ""


def missing(claim: Obj) -> list[str]:
    """What is still waited for."""
    return [
        f"{name} of device {_shown(result)}"
        for result, true in _conditions(claim)
        for name in result.get("bindingConditions") or ()
        if name not in true
    ]


def _conditions(claim: Obj) -> list[tuple[Obj, set[str]]]:
    """Each allocated device with its conditions that are true."""
    status = claim.get("status") or {}
    known = {
        _id(each): {c["type"] for c in each.get("conditions") or () if c["status"] == "True"}
        for each in status.get("devices") or ()
    }
    results = meta.nested(status, "allocation", "devices", "results", default=())
    return [(each, known.get(_id(each), set())) for each in results]


def _id(of: Obj) -> tuple[str, ...]:
    return of["driver"], of["pool"], of["device"], of.get("shareID") or ""


def _shown(result: Obj) -> str:
    return f"{result['driver']}/{result['pool']}/{result['device']}"
