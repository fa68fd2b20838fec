"""Which claims of a pod can be bound where. Pure, over what `Storage` tells; the rules are those of
kube-scheduler's volume binder (pkg/scheduler/framework/plugins/volumebinding) and of its volume matching.

A claim is bound, or to be bound by the volume binder at once (immediate), or to be bound for the node that the
scheduler chooses (delayed: its class says WaitForFirstConsumer). For a delayed claim a node is good when a
volume that exists matches and can be reached from it, or when one can be provisioned for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from control_plane.api import meta, selectors
from control_plane.api.quantity import parse_or_zero
from control_plane.client.types import Obj
from control_plane.scheduler.framework.affinity import node_affinity
from control_plane.scheduler.framework.node_info import NodeInfo
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.framework.status import Status, unresolvable
from control_plane.scheduler.volumes.storage import Storage, class_of

SELECTED_NODE = "volume.kubernetes.io/selected-node"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
LATE = "WaitForFirstConsumer"

AFFINITY_CONFLICT = "node(s) had volume node affinity conflict"
NOT_BINDABLE = "node(s) didn't find available persistent volumes to bind"
NO_SPACE = "node(s) did not have enough free storage"
VOLUME_MISSING = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
UNBOUND = "pod has unbound immediate PersistentVolumeClaims"


@dataclass(slots=True)
class Claims:
    bound: list[Obj] = field(default_factory=list)
    delayed: list[Obj] = field(default_factory=list)
    immediate: list[Obj] = field(default_factory=list)


@dataclass(slots=True)
class Plan:
    """For one node: volumes for claims, and claims to provision for."""

    static: list[tuple[Obj, Obj]] = field(default_factory=list)  # claim, volume
    provision: list[Obj] = field(default_factory=list)


def claim_names(pod: Obj) -> Iterator[tuple[str, bool]]:
    """The names of the claims that it mounts, and whether each is made for this pod alone."""
    for volume in pod["spec"].get("volumes") or ():
        if claim := volume.get("persistentVolumeClaim"):
            yield claim["claimName"], False
        elif volume.get("ephemeral"):
            yield f"{meta.name_of(pod)}-{volume['name']}", True


def is_bound(claim: Obj) -> bool:
    if not claim["spec"].get("volumeName"):
        return False
    return BIND_COMPLETED in meta.annotations(claim) or (claim.get("status") or {}).get("phase") == "Bound"


def classify(storage: Storage, pod: PodInfo) -> Claims | Status:
    found = Claims()
    for name, own in claim_names(pod.pod):
        claim = storage.claim(pod.namespace, name)
        if (problem := _problem(claim, name, own, pod)) is not None:
            return unresolvable(problem)
        assert claim is not None
        if is_bound(claim):
            found.bound.append(claim)
        elif _is_late(storage, claim) and not claim["spec"].get("volumeName"):
            found.delayed.append(claim)
        else:
            found.immediate.append(claim)
    return found


def _problem(claim: Obj | None, name: str, own: bool, pod: PodInfo) -> str | None:
    if claim is None and own:
        return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
    if claim is None:
        return f'persistentvolumeclaim "{name}" not found'
    if (claim.get("status") or {}).get("phase") == "Lost":
        volume = claim["spec"].get("volumeName")
        return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{volume}"'
    if meta.is_deleting(claim):
        return f'persistentvolumeclaim "{name}" is being deleted'
    if own and not meta.is_controlled_by(claim, pod.pod):
        return f"PVC {meta.key_of(claim)} was not created for pod {pod.key} (pod is not owner)"
    return None


def _is_late(storage: Storage, claim: Obj) -> bool:
    storage_class = storage.storage_class(class_of(claim))
    return storage_class is not None and storage_class.get("volumeBindingMode") == LATE


def reachable(volume: Obj, labels: Mapping[str, str], node_name: str) -> bool:
    required = (volume["spec"].get("nodeAffinity") or {}).get("required")
    if not required:
        return True
    terms = {"requiredDuringSchedulingIgnoredDuringExecution": required}
    return node_affinity({"affinity": {"nodeAffinity": terms}}).matches(labels, node_name)


def judge(storage: Storage, claims: Claims, node: NodeInfo) -> Plan | Status:
    """What would have to be done on this node, or why it does not do."""
    bound = _bound_elsewhere(storage, claims.bound, node)
    plan = plan_delayed(storage, claims.delayed, node)
    reasons = [AFFINITY_CONFLICT] if bound == AFFINITY_CONFLICT else []
    if isinstance(plan, str):
        reasons.append(plan)
    if bound == VOLUME_MISSING:
        reasons.append(VOLUME_MISSING)
    if reasons or isinstance(plan, str):
        return unresolvable(*reasons)
    return plan


def _bound_elsewhere(storage: Storage, claims: Sequence[Obj], node: NodeInfo) -> str | None:
    """Why the first of the bound claims that cannot be used here cannot."""
    for claim in claims:
        volume = storage.volume(claim["spec"]["volumeName"])
        if volume is None:
            return VOLUME_MISSING
        if not reachable(volume, node.labels, node.name):
            return AFFINITY_CONFLICT
    return None


def plan_delayed(storage: Storage, claims: Sequence[Obj], node: NodeInfo) -> Plan | str:
    """The smallest claims choose first, each the smallest volume that fits; the rest must be provisioned."""
    plan = Plan()
    for claim in sorted(claims, key=requested_nanos):
        chosen = meta.annotations(claim).get(SELECTED_NODE)
        if chosen:
            if chosen != node.name:
                return NOT_BINDABLE
            plan.provision.append(claim)
            continue
        taken = {meta.name_of(volume) for _, volume in plan.static}
        volume = matching_volume(storage.volumes(class_of(claim)), claim, node, taken)
        if volume is not None:
            plan.static.append((claim, volume))
        else:
            plan.provision.append(claim)
    for claim in plan.provision:
        if (problem := _cannot_provision(storage, claim, node)) is not None:
            return problem
    return plan


def requested_nanos(claim: Obj) -> int:
    return parse_or_zero(((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage")).nanos


def matching_volume(volumes: Sequence[Obj], claim: Obj, node: NodeInfo, taken: set[str]) -> Obj | None:
    """One reserved for the claim, else the smallest that fits."""
    best: tuple[int, str] | None = None
    found: Obj | None = None
    for volume in volumes:
        name = meta.name_of(volume)
        if name in taken or not _suits(volume, claim) or not reachable(volume, node.labels, node.name):
            continue
        reference = volume["spec"].get("claimRef")
        if reference is not None:
            if _is_for(reference, claim):
                return volume
            continue
        size = parse_or_zero((volume["spec"].get("capacity") or {}).get("storage")).nanos
        if best is None or (size, name) < best:
            best, found = (size, name), volume
    return found


def _suits(volume: Obj, claim: Obj) -> bool:
    spec, wanted = volume["spec"], claim["spec"]
    if meta.is_deleting(volume) or (spec.get("storageClassName") or "") != class_of(claim):
        return False
    free = (volume.get("status") or {}).get("phase", "Available") == "Available"
    if not free and spec.get("claimRef") is None:
        return False
    if (spec.get("volumeMode") or "Filesystem") != (wanted.get("volumeMode") or "Filesystem"):
        return False
    if parse_or_zero((spec.get("capacity") or {}).get("storage")).nanos < requested_nanos(claim):
        return False
    if not set(wanted.get("accessModes") or ()) <= set(spec.get("accessModes") or ()):
        return False
    selector = wanted.get("selector")
    return not selector or selectors.from_label_selector(selector).matches(meta.labels(volume))


def _is_for(reference: Obj, claim: Obj) -> bool:
    metadata = claim["metadata"]
    same = (reference.get("name"), reference.get("namespace")) == (
        metadata["name"],
        metadata.get("namespace"),
    )
    return same and reference.get("uid") in (None, "", metadata.get("uid"))


def _cannot_provision(storage: Storage, claim: Obj, node: NodeInfo) -> str | None:
    storage_class = storage.storage_class(class_of(claim))
    if storage_class is None or storage_class.get("provisioner") in (None, "", NO_PROVISIONER):
        return NOT_BINDABLE
    topologies = storage_class.get("allowedTopologies") or ()
    if topologies and not any(_in_topology(each, node.labels) for each in topologies):
        return NOT_BINDABLE
    driver = storage.csi_driver(storage_class["provisioner"])
    if driver is None or not driver["spec"].get("storageCapacity"):
        return None  # it does not say how much room there is
    capacities = storage.capacities(class_of(claim))
    return None if any(_has_room(each, claim, node) for each in capacities) else NO_SPACE


def _in_topology(term: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    expressions = term.get("matchLabelExpressions") or ()
    return all(labels.get(each["key"]) in (each.get("values") or ()) for each in expressions)


def _has_room(capacity: Obj, claim: Obj, node: NodeInfo) -> bool:
    topology = capacity.get("nodeTopology")
    if topology is not None and not selectors.from_label_selector(topology).matches(node.labels):
        return False
    largest = capacity.get("maximumVolumeSize") or capacity.get("capacity")
    return largest is not None and parse_or_zero(largest).nanos >= requested_nanos(claim)


def assumed(volume: Obj, claim: Obj) -> Obj:
    """The volume as it will be when it belongs to the claim."""
    metadata = claim["metadata"]
    reference = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": metadata.get("namespace"),
        "name": metadata["name"],
        "uid": metadata.get("uid"),
        "resourceVersion": metadata.get("resourceVersion"),
    }
    annotations = {**meta.annotations(volume), BOUND_BY_CONTROLLER: "yes"}
    return {
        **volume,
        "metadata": {**volume["metadata"], "annotations": annotations},
        "spec": {**volume["spec"], "claimRef": reference},
    }
