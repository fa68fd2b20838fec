"""What becomes of a volume: its phase, and the end of a binding whose claim has gone or gone elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.controllers.volumes import claims


@dataclass(frozen=True, slots=True)
class Plan:
    phase: str
    release: Object | None = None  # the volume as it should be written, without what ties it to the claim
    reclaim: bool = False
    look_at_claim: bool = False


def plan(volume: Object, claim: Object | None) -> Plan:
    """`claim`: the one of the volume's claimRef, if it exists with that uid."""
    reference = volume["spec"].get("claimRef")
    if reference is None or not reference.get("uid"):
        return Plan("Available")
    old_phase = meta.nested(volume, "status", "phase", default="Pending")
    if claim is None:
        return Plan("Failed" if old_phase == "Failed" else "Released", reclaim=True)
    name = claim["spec"].get("volumeName", "")
    if name == meta.name_of(volume):
        return Plan("Bound", look_at_claim=meta.nested(claim, "status", "phase") != "Bound")
    if not name:
        return Plan(old_phase if old_phase != "Pending" else "Available", look_at_claim=True)
    if _is_provisioned(volume) and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
        return Plan("Released", reclaim=True)  # made for a claim that has found another volume meanwhile
    return Plan("Available", release=_released(volume))


def _is_provisioned(volume: Object) -> bool:
    return claims.PROVISIONED_BY in meta.annotations(volume)


def _released(volume: Object) -> Object:
    """Who reserved the volume for the claim, we or the user, decides whether the reservation stays."""
    spec = dict(volume["spec"])
    if claims.BOUND_BY_CONTROLLER in meta.annotations(volume):
        del spec["claimRef"]
        return claims.without_annotation({**volume, "spec": spec}, claims.BOUND_BY_CONTROLLER)
    spec["claimRef"] = {
        key: spec["claimRef"][key] for key in ("kind", "namespace", "name") if key in spec["claimRef"]
    }
    return {**volume, "spec": spec}
