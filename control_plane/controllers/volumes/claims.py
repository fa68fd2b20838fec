"""The claim's side of a binding.

A binding is two references: `spec.claimRef` of the volume, with the claim's uid, and `spec.volumeName` of the
claim. The volume's is written first: it is the one that excludes others. Then the annotation `bind-completed` says
that the claim has had its volume, and from then on a claim without it is lost, not pending. `bound-by-controller`
marks which of the references we wrote and may take back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from control_plane.api import meta, quantity, selectors
from control_plane.api.meta import Object
from control_plane.api.quantity import Quantity
from control_plane.controllers import node_fit

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
STORAGE_PROVISIONER = "volume.kubernetes.io/storage-provisioner"
BETA_STORAGE_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner"
BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


def class_of(obj: Object) -> str:
    """Of a claim or a volume; "" for none."""
    return meta.annotations(obj).get(BETA_CLASS) or meta.nested(obj, "spec", "storageClassName", default="")


def has_no_class(claim: Object) -> bool:
    """It does not say; "" says that it wants none."""
    return claim["spec"].get("storageClassName") is None and BETA_CLASS not in meta.annotations(claim)


def default_class(classes: Iterable[Object]) -> Object | None:
    """The newest of those that are marked."""
    marked = [each for each in classes if meta.annotations(each).get(DEFAULT_CLASS) == "true"]
    marked.sort(key=meta.name_of)
    return max(marked, key=lambda each: meta.metadata(each).get("creationTimestamp", ""), default=None)


def waits_for_consumer(claim: Object, storage_class: Object | None) -> bool:
    """Its volume depends on the node of its first pod, which is not known yet."""
    if storage_class is None or SELECTED_NODE in meta.annotations(claim):
        return False
    return storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"


def requested(claim: Object) -> Quantity:
    return quantity.parse_or_zero(meta.nested(claim, "spec", "resources", "requests", "storage"))


def capacity(volume: Object) -> Quantity:
    return quantity.parse_or_zero(meta.nested(volume, "spec", "capacity", "storage"))


def refers_to(volume: Object, claim: Object) -> bool:
    """The volume's claimRef is this claim, or will be once it has a uid."""
    reference = volume["spec"].get("claimRef")
    if reference is None:
        return False
    same = reference.get("name") == meta.name_of(claim)
    same = same and reference.get("namespace", "") == meta.namespace_of(claim)
    return same and reference.get("uid", "") in ("", meta.uid_of(claim))


def mismatch(volume: Object, claim: Object) -> str:
    """Why a volume that was asked for by name cannot serve the claim; "" if it can."""
    if capacity(volume) < requested(claim):
        return "requested PV is too small"
    if class_of(volume) != class_of(claim):
        return "storageClassName does not match"
    if _mode(volume) != _mode(claim):
        return "incompatible volumeMode"
    if not _offers_access(volume, claim):
        return "incompatible accessMode"
    return ""


def find(claim: Object, volumes: Iterable[Object], node: Object | None = None) -> Object | None:
    """The volume that is meant for the claim, else the smallest free one that satisfies it (and can be reached from
    `node`, if given)."""
    best: Object | None = None
    for volume in volumes:
        if meta.is_deleting(volume) or capacity(volume) < requested(claim):
            continue
        if refers_to(volume, claim) and _mode(volume) == _mode(claim):
            return volume
        if not _is_free(volume) or not _satisfies(volume, claim):
            continue
        if node is not None and not reachable_from(volume, node):
            continue
        if best is None or _order(volume) < _order(best):
            best = volume
    return best


def _order(volume: Object) -> tuple[Quantity, str]:
    return capacity(volume), meta.name_of(volume)


def _is_free(volume: Object) -> bool:
    return meta.nested(volume, "status", "phase") == "Available" and volume["spec"].get("claimRef") is None


def _satisfies(volume: Object, claim: Object) -> bool:
    if mismatch(volume, claim):
        return False
    selector = claim["spec"].get("selector")
    return selector is None or selectors.from_label_selector(selector).matches(meta.labels(volume))


def _mode(obj: Object) -> str:
    return obj["spec"].get("volumeMode") or "Filesystem"


def _offers_access(volume: Object, claim: Object) -> bool:
    return set(claim["spec"].get("accessModes") or ()) <= set(volume["spec"].get("accessModes") or ())


def reachable_from(volume: Object, node: Object) -> bool:
    required = meta.nested(volume, "spec", "nodeAffinity", "required")
    if required is None:
        return True
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    return node_fit.matches_node({"affinity": affinity}, node)


def reference(claim: Object) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": meta.namespace_of(claim),
        "name": meta.name_of(claim),
        "uid": meta.uid_of(claim),
        "resourceVersion": meta.resource_version_of(claim),
    }


def bound_volume(volume: Object, claim: Object) -> Object:
    """The volume with its reference to the claim; unchanged if it has it."""
    old = volume["spec"].get("claimRef")
    if old is not None and old.get("uid") == meta.uid_of(claim):
        return volume
    changed = {**volume, "spec": {**volume["spec"], "claimRef": reference(claim)}}
    return changed if old is not None else annotated(changed, BOUND_BY_CONTROLLER)


def bound_claim(claim: Object, volume: Object) -> Object:
    """The claim with its volume's name, and the mark that it has one; unchanged if it has both."""
    if claim["spec"].get("volumeName"):
        return annotated(claim, BIND_COMPLETED)
    named = {**claim, "spec": {**claim["spec"], "volumeName": meta.name_of(volume)}}
    return annotated(annotated(named, BOUND_BY_CONTROLLER), BIND_COMPLETED)


def annotated(obj: Object, key: str, value: str = "yes") -> Object:
    if meta.annotations(obj).get(key) == value:
        return obj
    annotations = {**meta.annotations(obj), key: value}
    return {**obj, "metadata": {**obj["metadata"], "annotations": annotations}}


def without_annotation(obj: Object, key: str) -> Object:
    annotations = {name: value for name, value in meta.annotations(obj).items() if name != key}
    return {**obj, "metadata": {**obj["metadata"], "annotations": annotations}}


def status(claim: Object, phase: str, volume: Object | None = None) -> dict[str, Any]:
    """With a volume: what it offers. The capacity of a claim that is bound already changes with a resize only."""
    old = claim.get("status") or {}
    if volume is None:
        return {**old, "phase": phase}
    shown = {**old, "phase": phase, "accessModes": list(volume["spec"].get("accessModes") or ())}
    if old.get("phase") != "Bound" or not old.get("capacity"):
        shown["capacity"] = dict(volume["spec"].get("capacity") or {})
    return shown
