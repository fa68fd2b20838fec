"""Whether the claims of a stateful set's pods outlive the set, and the pods that are scaled away.

It is said by owner references, which the garbage collector acts on: the set's on a claim that goes with the set,
the pod's on that of a pod that is about to be scaled away. A claim that somebody else controls is left alone.
"""

from __future__ import annotations

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.controllers.statefulset import identity


def policy(stateful_set: Object) -> tuple[bool, bool]:
    """(delete when the set is deleted, delete when it is scaled down)."""
    chosen = stateful_set["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    return chosen.get("whenDeleted") == "Delete", chosen.get("whenScaled") == "Delete"


def owned(claim: Object, stateful_set: Object, pod: Object) -> Object | None:
    """The claim as it should be, or None when it is so already, or is another's."""
    controller = meta.controller_of(claim)
    if controller is not None and not (_is_set(controller, stateful_set) or _is_pod(controller, pod)):
        return None
    with_set, when_scaled = policy(stateful_set)
    condemned = identity.ordinal(stateful_set, pod) not in identity.ordinals(stateful_set)
    wanted = []
    if when_scaled and condemned:
        wanted.append(_reference("v1", "Pod", pod))
    elif with_set:
        wanted.append(_reference("apps/v1", "StatefulSet", stateful_set))
    current = meta.owner_references(claim)
    others = [each for each in current if not _is_set(each, stateful_set) and not _is_pod(each, pod)]
    ours = [each for each in current if each not in others]
    if [each["uid"] for each in ours] == [each["uid"] for each in wanted]:
        return None
    return {**claim, "metadata": {**claim["metadata"], "ownerReferences": [*others, *wanted]}}


def is_stale(claim: Object, pod_name: str, pod_uid: str) -> bool:
    """It belongs to a former pod of that name and will go with it: no new pod may start on it."""
    return any(
        each["kind"] == "Pod" and each["name"] == pod_name and each["uid"] != pod_uid
        for each in meta.owner_references(claim)
    )


def _is_set(reference: Object, stateful_set: Object) -> bool:
    return bool(reference["kind"] == "StatefulSet" and reference["name"] == meta.name_of(stateful_set))


def _is_pod(reference: Object, pod: Object) -> bool:
    return bool(reference["kind"] == "Pod" and reference["name"] == meta.name_of(pod))


def _reference(api_version: str, kind: str, owner: Object) -> Object:
    name, uid = meta.name_of(owner), meta.uid_of(owner)
    return {"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": True}
