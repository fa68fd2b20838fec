"""What a hollow node agent keeps of the objects it watches: ten thousand pods in a few megabytes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from node.agent.pod_spec import Obj
from node.hollow.behaviour import PREFIX

_METADATA = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "finalizers",
)
_CONTAINER = ("name", "image", "command", "args", "restartPolicy")
_SPEC = ("nodeName", "restartPolicy", "terminationGracePeriodSeconds")
_STATUS = ("phase", "podIP", "startTime")


def pod(obj: Obj) -> Obj:
    spec, status = obj["spec"], obj.get("status") or {}
    kept = _picked(spec, _SPEC)
    for key in ("containers", "initContainers"):
        if spec.get(key):
            kept[key] = [_picked(container, _CONTAINER) for container in spec[key]]
    return {"metadata": _metadata(obj), "spec": kept, "status": _picked(status, _STATUS)}


def node(obj: Obj) -> Obj:
    """Of its status only whether it is Ready, and why."""
    conditions = (obj.get("status") or {}).get("conditions") or ()
    ready = [_picked(each, ("type", "status", "message")) for each in conditions if each["type"] == "Ready"]
    return {"metadata": _metadata(obj), "status": {"conditions": ready}}


def _metadata(obj: Obj) -> Obj:
    metadata = obj["metadata"]
    kept = _picked(metadata, _METADATA)
    for key in ("labels", "annotations"):
        ours = {name: text for name, text in (metadata.get(key) or {}).items() if name.startswith(PREFIX)}
        if ours:
            kept[key] = ours
    return kept


def _picked(obj: Mapping[str, Any], keys: tuple[str, ...]) -> Obj:
    return {key: obj[key] for key in keys if key in obj}
