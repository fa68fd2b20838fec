"""Which claims a pod has, and whether it may use them. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from control_plane.api import meta
from control_plane.client.types import Obj
from control_plane.scheduler.dynamic_resources.errors import ClaimError

ClaimOf = Callable[[str, str], Obj | None]  # by namespace and name

FINALIZER = "resource.kubernetes.io/delete-protection"
MAX_RESERVED = 256  # users of one claim, as the API allows


@dataclass(frozen=True, slots=True)
class Reference:
    """An entry of a pod's `resourceClaims`. No claim: its template asked for none."""

    entry: str
    claim: str
    generated: bool  # from a template: then it must be the pod's own


def references(pod: Obj) -> list[Reference]:
    """Raises ClaimError when a claim has no name yet."""
    found: list[Reference] = []
    statuses = {
        each["name"]: each.get("resourceClaimName") or ""
        for each in (pod.get("status") or {}).get("resourceClaimStatuses") or ()
    }
    for entry in pod["spec"].get("resourceClaims") or ():
        name = entry["name"]
        if direct := entry.get("resourceClaimName"):
            found.append(Reference(name, direct, False))
        elif name in statuses:
            found.append(Reference(name, statuses[name], True))
        else:
            raise ClaimError(f'pod "{meta.key_of(pod)}": ResourceClaim not created yet')
    return found


def claims_of(pod: Obj, claim_of: ClaimOf) -> list[Obj]:
    """Raises ClaimError."""
    found: list[Obj] = []
    namespace = meta.namespace_of(pod)
    for reference in references(pod):
        if not reference.claim:
            continue
        claim = claim_of(namespace, reference.claim)
        if claim is None:
            raise ClaimError(f'resourceclaim "{reference.claim}" not found')
        if meta.is_deleting(claim):
            raise ClaimError(f'resourceclaim "{reference.claim}" is being deleted')
        if reference.generated and not meta.is_controlled_by(claim, pod):
            text = f"was not created for pod {meta.key_of(pod)} (pod is not owner)"
            raise ClaimError(f"ResourceClaim {meta.key_of(claim)} {text}")
        found.append(claim)
    return found


def allocation_of(claim: Obj) -> Obj | None:
    return (claim.get("status") or {}).get("allocation")


def reserved_for(claim: Obj) -> list[Obj]:
    return list((claim.get("status") or {}).get("reservedFor") or ())


def is_reserved_for(claim: Obj, pod_uid: str) -> bool:
    return any(each["uid"] == pod_uid for each in reserved_for(claim))


def reservation(pod: Obj) -> Obj:
    return {"resource": "pods", "name": meta.name_of(pod), "uid": meta.uid_of(pod)}


def reserved(claim: Obj, allocation: Obj | None, pod: Obj) -> Obj | None:
    """The claim as it must be before the pod is bound; None when it is so. Raises ClaimError."""
    name = meta.key_of(claim)
    if meta.is_deleting(claim):
        raise ClaimError(f"claim {name} got deleted in the meantime")
    status = dict(claim.get("status") or {})
    current = allocation_of(claim)
    if current is None:
        if allocation is None:
            raise ClaimError(f"claim {name} got deallocated elsewhere in the meantime")
        status["allocation"] = allocation
    elif allocation is not None and not _same(current, allocation):
        raise ClaimError(f"claim {name} got allocated elsewhere in the meantime")
    users = reserved_for(claim)
    if not is_reserved_for(claim, meta.uid_of(pod)):
        if len(users) >= MAX_RESERVED:
            raise ClaimError(f"claim {name} has {MAX_RESERVED} users already")
        status["reservedFor"] = [*users, reservation(pod)]
    elif current is not None:
        return None
    return {**claim, "status": status}


def _same(one: Obj, other: Obj) -> bool:
    """Written by the same try: then an answer was lost."""
    return one.get("allocationTimestamp") == other.get("allocationTimestamp") and _given(one) == _given(other)


def _given(allocation: Obj) -> list[tuple[str, ...]]:
    results = (allocation.get("devices") or {}).get("results") or ()
    return [(r["request"], r["driver"], r["pool"], r["device"], r.get("shareID") or "") for r in results]


def released(claim: Obj, pod_uid: str, deallocate: bool) -> Obj | None:
    """Without the pod as its user and, if nobody else uses it and that is wanted, without its devices."""
    if not is_reserved_for(claim, pod_uid) and not deallocate:
        return None
    users = [each for each in reserved_for(claim) if each["uid"] != pod_uid]
    status = {key: value for key, value in claim["status"].items() if key != "reservedFor"}
    if users:
        status["reservedFor"] = users
    elif deallocate:
        status.pop("allocation", None)
        status.pop("devices", None)
    return {**claim, "status": status}
