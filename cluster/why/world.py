"""The objects that explanations look at: one namespace, and what lies outside of namespaces. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from control_plane.api import meta, selectors
from control_plane.client.types import Obj

STALE_LEASES = 2  # a holder that has not renewed for so many durations is gone
KINDS = {
    "pods": "Pod",
    "replicasets": "ReplicaSet",
    "replicationcontrollers": "ReplicationController",
    "deployments": "Deployment",
    "statefulsets": "StatefulSet",
    "daemonsets": "DaemonSet",
    "jobs": "Job",
    "cronjobs": "CronJob",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "services": "Service",
    "nodes": "Node",
    "namespaces": "Namespace",
}


class World:
    def __init__(
        self,
        namespace: str,
        objects: Mapping[str, Sequence[Obj]],
        now_s: float,
        complaints: Sequence[str] = (),
    ) -> None:
        """`objects` by resource; `complaints`: what could not be read, and why."""
        self.namespace = namespace
        self.now_s = now_s
        self.complaints = list(complaints)
        self._objects = objects
        self._by_name = {
            resource: {meta.name_of(each): each for each in each_kind}
            for resource, each_kind in objects.items()
            if resource != "events"
        }

    def all(self, resource: str) -> Sequence[Obj]:
        return self._objects.get(resource, ())

    def get(self, resource: str, name: str) -> Obj | None:
        return self._by_name.get(resource, {}).get(name)

    def knows(self, resource: str) -> bool:
        """Whether it could be read: what is not there and what may not be seen are two things."""
        return resource in self._objects

    def owned(self, owner: Obj, resource: str) -> list[Obj]:
        return [each for each in self.all(resource) if meta.is_controlled_by(each, owner)]

    def selected(self, resource: str, label_selector: Obj) -> list[Obj]:
        selector = selectors.from_label_selector(label_selector)
        return [each for each in self.all(resource) if selector.matches(meta.labels(each))]

    def events(self, obj: Obj, *reasons: str) -> list[Obj]:
        """About it, the latest first."""
        uid, name = meta.uid_of(obj), meta.name_of(obj)
        found = []
        for event in self.all("events"):
            about = event.get("involvedObject") or {}
            same = about.get("uid") == uid if uid and about.get("uid") else about.get("name") == name
            if same and (not reasons or event.get("reason") in reasons):
                found.append(event)
        return sorted(found, key=event_time_s, reverse=True)

    def last_message(self, obj: Obj, *reasons: str) -> str:
        events = self.events(obj, *reasons)
        return str(events[0].get("message", "")).strip() if events else ""

    def lease(self, name: str, namespace: str) -> Obj | None:
        for each in self.all("leases"):
            if (meta.name_of(each), meta.namespace_of(each)) == (name, namespace):
                return each
        return None

    def silence_s(self, name: str, namespace: str) -> float | None:
        """For how long the lease's holder has been silent beyond doubt; None: it is alive, or unknown."""
        spec = (self.lease(name, namespace) or {}).get("spec") or {}
        renewed_s = meta.parse_time(spec.get("renewTime"))
        if renewed_s is None:
            return None
        age_s = self.now_s - renewed_s
        return age_s if age_s > STALE_LEASES * int(spec.get("leaseDurationSeconds") or 15) else None


def event_time_s(event: Obj) -> float:
    text = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp")
    return meta.parse_time(text) or 0.0


def age(world: World, text: str | None) -> str:
    """How long ago: 4s, 5m, 3h, 2d."""
    at_s = meta.parse_time(text)
    if at_s is None:
        return "an unknown time"
    seconds = max(int(world.now_s - at_s), 0)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
