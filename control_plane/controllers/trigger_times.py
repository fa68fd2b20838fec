"""When the change happened that a service's endpoints now follow: the annotation by which the time to program the
network is measured (the network programming latency SLI). It tells what was newly seen since the last look: who
restarts knows nothing, and says when the service was made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from control_plane.api import meta
from control_plane.api.meta import Object

ANNOTATION = "endpoints.kubernetes.io/last-change-trigger-time"


@dataclass(slots=True)
class _Seen:
    service: str
    pods: dict[str, str] = field(default_factory=dict)


class TriggerTimes:
    """One entry for each service that is followed; `forget` those that are gone."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def observe(self, key: str, service: Object, pods: Iterable[Object]) -> str:
        """The earliest of the changes since the last time, in RFC 3339; empty if none is dated."""
        created: str = meta.metadata(service).get("creationTimestamp", "")
        before = self._seen.get(key)
        now = _Seen(created, {meta.name_of(pod): at for pod in pods if (at := _ready_since(pod))})
        self._seen[key] = now
        if before is None:
            return created
        changed = [at for name, at in now.pods.items() if at > before.pods.get(name, "")]
        if created > before.service:
            changed.append(created)
        return min(changed, default="")

    def forget(self, key: str) -> None:
        self._seen.pop(key, None)


def annotate(obj: Object, trigger_time: str) -> None:
    """What no dated change caused says nothing, rather than the time of an earlier one."""
    annotations = {**meta.annotations(obj), ANNOTATION: trigger_time}
    if not trigger_time:
        del annotations[ANNOTATION]
    obj["metadata"] = {**meta.metadata(obj), "annotations": annotations}
    if not annotations:
        del obj["metadata"]["annotations"]


def _ready_since(pod: Object) -> str:
    ready = meta.condition(pod, "Ready") or {}
    return ready.get("lastTransitionTime") or ""
