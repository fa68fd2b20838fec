"""The built-in provisioner `balsa.dev/local-path`: a directory of the node on which the claim's first pod runs.

The volume is a hostPath that any kubelet would make and mount, tied to its node by affinity. The directory lies
where the node's annotation says; a node without it (another kubelet's) has it below DEFAULT_ROOT. A finalizer keeps
a volume whose data is to be deleted until the node does not hold it any more.
"""

from __future__ import annotations

from collections.abc import Sequence

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.controllers.volumes import claims

PROVISIONER = "balsa.dev/local-path"
ROOT_ANNOTATION = "balsa.dev/local-volumes"
HELD_ANNOTATION = "balsa.dev/held-volumes"
FINALIZER = "balsa.dev/local-path"
DEFAULT_ROOT = "/var/lib/balsa/local-volumes"
REPORT_DELAY_S = 5.0  # by then a node has said that it holds a volume
HOSTNAME = "kubernetes.io/hostname"
ACCESS_MODES = frozenset({"ReadWriteOnce", "ReadWriteOncePod"})


def volume_name(claim: Object) -> str:
    return f"pvc-{meta.uid_of(claim)}"


def refusal(claim: Object) -> str:
    """Why this provisioner cannot make what the claim asks for; "" if it can."""
    if (claim["spec"].get("volumeMode") or "Filesystem") != "Filesystem":
        return f"{PROVISIONER} does not support block volume provisioning"
    if claim["spec"].get("selector"):
        return "claim.Spec.Selector is not supported"
    if not set(claim["spec"].get("accessModes") or ()) <= ACCESS_MODES:
        return "only ReadWriteOnce and ReadWriteOncePod are supported: the volume is a directory of one node"
    return ""


def choose_node(claim: Object, nodes: Sequence[Object]) -> Object | None:
    """For a class that binds at once: any node that takes pods, the same one however often it is asked."""
    usable = [
        each
        for each in nodes
        if meta.condition_is_true(each, "Ready") and not each["spec"].get("unschedulable")
    ]
    ordered = sorted(usable, key=meta.name_of)
    return ordered[sum(meta.uid_of(claim).encode()) % len(ordered)] if ordered else None


def make_volume(claim: Object, storage_class: Object, node: Object) -> Object:
    name = volume_name(claim)
    root = meta.annotations(node).get(ROOT_ANNOTATION, DEFAULT_ROOT)
    hostname = meta.labels(node).get(HOSTNAME, meta.name_of(node))
    here = {"key": HOSTNAME, "operator": "In", "values": [hostname]}
    spec: Object = {
        "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
        "accessModes": list(claim["spec"]["accessModes"]),
        "volumeMode": "Filesystem",
        "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy", "Delete"),
        "storageClassName": meta.name_of(storage_class),
        "claimRef": claims.reference(claim),
        "hostPath": {"path": f"{root.rstrip('/')}/{name}", "type": "DirectoryOrCreate"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
    }
    if options := storage_class.get("mountOptions"):
        spec["mountOptions"] = list(options)
    annotations = {claims.PROVISIONED_BY: PROVISIONER, claims.BOUND_BY_CONTROLLER: "yes"}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": annotations, "finalizers": [FINALIZER]},
        "spec": spec,
    }


def hostname_of(volume: Object) -> str:
    terms = meta.nested(volume, "spec", "nodeAffinity", "required", "nodeSelectorTerms", default=())
    found = [each for term in terms for each in term.get("matchExpressions") or () if each["key"] == HOSTNAME]
    return str(found[0]["values"][0]) if found else ""


def may_go_in_s(volume: Object, node: Object | None, now: float) -> float | None:
    """A deleted volume: 0 when its data stays where it is (Retain, or the node itself has gone) or is gone already;
    None while the node holds it. What was mounted for a moment only may not have been reported yet."""
    if meta.nested(volume, "status", "phase") == "Bound":
        return None
    if volume["spec"].get("persistentVolumeReclaimPolicy") != "Delete" or node is None:
        return 0.0
    if meta.name_of(volume) in held(node):
        return None
    released = meta.parse_time(meta.nested(volume, "status", "lastPhaseTransitionTime")) or now
    return max(released + REPORT_DELAY_S - now, 0.0)


def held(node: Object) -> list[str]:
    """The volumes whose directories the node has."""
    return [each for each in meta.annotations(node).get(HELD_ANNOTATION, "").split(",") if each]
