"""What was measured, and which pods' measurements count.

Pods that are starting use CPU which says nothing of the load, pods without measurement are unknown: both are set
aside first, and then assumed to be such that they can only soften the decision (kube-controller-manager's replica
calculator).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from control_plane.api import meta, quantity
from control_plane.api.meta import Object

CPU_INITIALIZATION_S = 300.0
INITIAL_READINESS_DELAY_S = 30.0


class MetricError(Exception):
    """A metric cannot be had, or says nothing. The message is shown in the condition ScalingActive."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Sample:
    milli: int
    at: float = 0.0
    window_s: float = 60.0


Samples = Mapping[str, Sample]  # by pod


@dataclass(slots=True)
class Groups:
    ready: int = 0
    unready: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    ignored: set[str] = field(default_factory=set)


def group(pods: Sequence[Object], samples: Samples, resource: str, now: float) -> Groups:
    groups = Groups()
    for pod in pods:
        name, phase = meta.name_of(pod), meta.nested(pod, "status", "phase")
        if meta.is_deleting(pod) or phase == "Failed":
            groups.ignored.add(name)
        elif phase == "Pending":
            groups.unready.add(name)
        elif name not in samples:
            groups.missing.add(name)
        elif resource == "cpu" and _is_starting(pod, samples[name], now):
            groups.unready.add(name)
        else:
            groups.ready += 1
    return groups


def _is_starting(pod: Object, sample: Sample, now: float) -> bool:
    ready = meta.condition(pod, "Ready")
    started = meta.parse_time(meta.nested(pod, "status", "startTime"))
    if ready is None or started is None:
        return True
    changed = meta.parse_time(ready.get("lastTransitionTime")) or 0.0
    if started + CPU_INITIALIZATION_S > now:
        return ready["status"] == "False" or sample.at < changed + sample.window_s
    return ready["status"] == "False" and started + INITIAL_READINESS_DELAY_S > changed


def requests(pods: Sequence[Object], resource: str, container: str = "") -> dict[str, int]:
    """Of each pod in thousandths. Raises MetricError for a pod that requests nothing."""
    found: dict[str, int] = {}
    for pod in pods:
        spec = pod.get("spec") or {}
        sidecars = [
            each for each in spec.get("initContainers") or () if each.get("restartPolicy") == "Always"
        ]
        for each in (*(spec.get("containers") or ()), *sidecars):
            if container and each["name"] != container:
                continue
            asked = meta.nested(each, "resources", "requests", resource)
            if asked is None:
                text = (
                    f"missing request for {resource} in container {each['name']} of Pod {meta.name_of(pod)}"
                )
                raise MetricError("FailedGetResourceMetric", text)
            name = meta.name_of(pod)
            found[name] = found.get(name, 0) + quantity.parse(asked).milli_value()
    return found
