"""Which volumes of CSI drivers are to be attached to which nodes. Pure, per volume.

A volume is wanted on the nodes of the pods that use it, until they have finished or are gone. It is attached by a
VolumeAttachment, which the driver's attacher acts on, and detached by deleting that: not as long as the node says
that it uses the volume, unless the node is dead, declared dead, or silent for MAX_WAIT_FOR_UNMOUNT_S. A volume
that only one node may use is attached to the second only once the first has let go of it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.controllers import pods
from control_plane.controllers.pod_gc import OUT_OF_SERVICE_TAINT

MAX_WAIT_FOR_UNMOUNT_S = 360.0
MANAGED = "volumes.kubernetes.io/controller-managed-attach-detach"
_OURS = re.compile("csi-[0-9a-f]{64}")
SHARED_MODES = frozenset({"ReadWriteMany", "ReadOnlyMany"})


def attachment_name(volume: Object, node: str) -> str:
    """As every CSI attacher expects it."""
    csi = volume["spec"]["csi"]
    return f"csi-{hashlib.sha256((csi['volumeHandle'] + csi['driver'] + node).encode()).hexdigest()}"


def is_ours(found: Object) -> bool:
    """By its name, which is all there is once the volume is gone; what others have made is theirs."""
    return _OURS.fullmatch(meta.name_of(found)) is not None


def unique_name(volume: Object) -> str:
    """Under which nodes report it."""
    csi = volume["spec"]["csi"]
    return f"kubernetes.io/csi/{csi['driver']}^{csi['volumeHandle']}"


def attachment(volume: Object, node: str) -> Object:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "VolumeAttachment",
        "metadata": {"name": attachment_name(volume, node)},
        "spec": {
            "attacher": volume["spec"]["csi"]["driver"],
            "nodeName": node,
            "source": {"persistentVolumeName": meta.name_of(volume)},
        },
    }


def is_attachable(volume: Object, driver: Object | None) -> bool:
    """A driver that nobody has described needs it."""
    return "csi" in volume["spec"] and meta.nested(driver or {}, "spec", "attachRequired", default=True)


def is_exclusive(volume: Object) -> bool:
    return not SHARED_MODES & set(volume["spec"].get("accessModes") or ())


def is_managed(node: Object) -> bool:
    """Else its agent attaches for itself."""
    return meta.annotations(node).get(MANAGED) == "true"


def wants(pod: Object) -> bool:
    return bool(meta.nested(pod, "spec", "nodeName")) and not pods.is_finished(pod)


def is_attached(found: Object) -> bool:
    return bool(meta.nested(found, "status", "attached"))


@dataclass(frozen=True, slots=True)
class Plan:
    attach: tuple[str, ...] = ()  # nodes
    detach: tuple[Object, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)  # pods that must wait, by uid: why
    look_again_s: float | None = None


def plan(
    volume: Object,
    users: Sequence[Object],
    attachments: Sequence[Object],
    nodes: Mapping[str, Object],
    unwanted_since: Mapping[str, float],
    now: float,
) -> Plan:
    """`users`: pods with the volume's claim; `unwanted_since`: by node, of those where nobody wants it any more."""
    wanted = _by_node([pod for pod in users if wants(pod)])
    there = {each["spec"]["nodeName"]: each for each in attachments}
    detach: list[Object] = []
    waits: list[float] = []
    for name, found in there.items():
        if name in wanted or meta.is_deleting(found):
            continue
        wait_s = _unmounted_in_s(volume, nodes.get(name), unwanted_since.get(name, now), now)
        if wait_s:
            waits.append(wait_s)
        else:
            detach.append(found)
    candidates = [name for name in wanted if name not in there and name in nodes and is_managed(nodes[name])]
    attach, refused = _allowed(volume, candidates, wanted, there)
    return Plan(tuple(attach), tuple(detach), refused, min(waits, default=None))


def _by_node(users: Sequence[Object]) -> dict[str, list[Object]]:
    """Whose pod is oldest comes first."""
    found: dict[str, list[Object]] = {}
    for pod in sorted(
        users, key=lambda each: (each["metadata"].get("creationTimestamp", ""), meta.key_of(each))
    ):
        found.setdefault(pod["spec"]["nodeName"], []).append(pod)
    return found


def _allowed(
    volume: Object,
    candidates: Sequence[str],
    wanted: Mapping[str, Sequence[Object]],
    there: Mapping[str, Object],
) -> tuple[list[str], dict[str, str]]:
    if not is_exclusive(volume):
        return list(candidates), {}
    attach = list(candidates[:1]) if not there else []
    holders = [pod for name in (*there, *attach) for pod in wanted.get(name, ())]
    refused = {
        meta.uid_of(pod): _multi_attach(volume, pod, holders)
        for name in candidates
        if name not in attach
        for pod in wanted[name]
    }
    return attach, refused


def _multi_attach(volume: Object, pod: Object, holders: Sequence[Object]) -> str:
    """Pods of other namespaces are not named to its user."""
    own = sorted(meta.name_of(each) for each in holders if meta.namespace_of(each) == meta.namespace_of(pod))
    others = len(holders) - len(own)
    why = "Volume is already exclusively attached to one node and can't be attached to another"
    if own:
        why = f"Volume is already used by pod(s) {', '.join(own)}"
        why += f" and {others} pod(s) in different namespaces" if others else ""
    elif others:
        why = f"Volume is already used by {others} pod(s) in different namespaces"
    return f'Multi-Attach error for volume "{meta.name_of(volume)}" {why}'


def _unmounted_in_s(volume: Object, node: Object | None, since: float, now: float) -> float:
    """0: it may be detached."""
    if node is None or _is_out_of_service(node):
        return 0
    if unique_name(volume) not in meta.nested(node, "status", "volumesInUse", default=()):
        return 0
    waited_s = now - since
    if waited_s < MAX_WAIT_FOR_UNMOUNT_S:
        return MAX_WAIT_FOR_UNMOUNT_S - waited_s
    return MAX_WAIT_FOR_UNMOUNT_S if meta.condition_is_true(node, "Ready") else 0


def _is_out_of_service(node: Object) -> bool:
    return any(
        each["key"] == OUT_OF_SERVICE_TAINT for each in meta.nested(node, "spec", "taints", default=())
    )
