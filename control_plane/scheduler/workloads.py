"""What owns and serves a pod: the selector that default spreading constraints use
(helper.DefaultSelector)."""

from __future__ import annotations

from control_plane.api import meta
from control_plane.api.selectors import LabelSelector, from_set
from control_plane.client.gvr import GVR, REPLICA_SETS, REPLICATION_CONTROLLERS, SERVICES, STATEFUL_SETS
from control_plane.client.informer import InformerFactory
from control_plane.client.types import Obj
from control_plane.scheduler.framework.affinity import selector_of
from control_plane.scheduler.framework.pod_info import PodInfo

OWNERS: dict[tuple[str, str], GVR] = {
    ("v1", "ReplicationController"): REPLICATION_CONTROLLERS,
    ("apps/v1", "ReplicaSet"): REPLICA_SETS,
    ("apps/v1", "StatefulSet"): STATEFUL_SETS,
}


class InformedWorkloads:
    """From informers that keep the selectors and nothing else."""

    def __init__(self, informers: InformerFactory) -> None:
        self._services = informers.informer(SERVICES, transform=only_selector)
        self._owners = {
            kind: informers.informer(gvr, transform=only_selector) for kind, gvr in OWNERS.items()
        }

    def default_selector(self, pod: PodInfo) -> LabelSelector | None:
        """All that its services and its controller select by; None when nothing does."""
        together: dict[str, str] = {}
        for service in self._services.list(pod.namespace):
            selector = service["spec"].get("selector")
            if selector and from_set(selector).matches(pod.labels):
                together.update(selector)
        owner = meta.controller_of(pod.pod)
        more: LabelSelector | None = None
        if owner is not None:
            more = self._of_owner(owner, pod.namespace, together)
        requirements = from_set(together).requirements + (more.requirements if more else ())
        return LabelSelector(tuple(dict.fromkeys(requirements))) if requirements else None

    def _of_owner(self, owner: Obj, namespace: str, together: dict[str, str]) -> LabelSelector | None:
        informer = self._owners.get((owner["apiVersion"], owner["kind"]))
        found = informer.get(namespace, owner["name"]) if informer is not None else None
        if found is None or meta.uid_of(found) != owner["uid"]:
            return None
        selector = found["spec"].get("selector") or {}
        if owner["kind"] == "ReplicationController":
            together.update(selector)
            return None
        return selector_of(selector)


def only_selector(obj: Obj) -> Obj:
    metadata = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion")
    return {
        "metadata": {name: metadata[name] for name in kept if name in metadata},
        "spec": {"selector": (obj.get("spec") or {}).get("selector")},
    }
