"""Devices of resource claims (DRA). Pure.

No driver can register itself with this agent yet, and a pod with devices must not run here as if it had them: its
containers wait, and an event says which claims lack a driver.
"""

from __future__ import annotations

from node.agent.pod_spec import Obj


def stand_for(pod: Obj) -> set[str]:
    """The extended resources that the pod has as devices of a claim, and not from this node's capacity."""
    return {each["resourceName"] for each in _extended(pod).get("requestMappings") or ()}


def unprepared(pod: Obj) -> str:
    """Why the devices of the pod's claims cannot be had on this node; "" when it has no claims."""
    generated = {
        each["name"]: each.get("resourceClaimName", "")
        for each in (pod.get("status") or {}).get("resourceClaimStatuses") or ()
    }
    claims = [
        each.get("resourceClaimName") or generated.get(each["name"], each["name"])
        for each in pod["spec"].get("resourceClaims") or ()
    ]
    claims.append(_extended(pod).get("resourceClaimName", ""))
    names = ", ".join(name for name in claims if name)
    return f"resource claims {names}: no DRA driver is registered on this node" if names else ""


def _extended(pod: Obj) -> Obj:
    found: Obj = (pod.get("status") or {}).get("extendedResourceClaimStatus") or {}
    return found
