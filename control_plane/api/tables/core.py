"""Nodes, namespaces, configuration, events and quotas."""

from __future__ import annotations

from typing import Any

from control_plane.api import meta
from control_plane.api.tables.layout import Cells, Object, table
from control_plane.api.tables.text import NONE, UNKNOWN, age, age_of, name_of

_ROLE_LABEL, _OLD_ROLE_LABEL = "node-role.kubernetes.io/", "kubernetes.io/role"


@table(
    "v1",
    "nodes",
    "Name, Status, Roles, Age, Version | Internal-IP, External-IP, OS-Image, Kernel-Version, Container-Runtime",
)
def node(obj: Object, now_s: float) -> Cells:
    status = obj.get("status") or {}
    info = status.get("nodeInfo") or {}
    return [
        name_of(obj),
        _node_status(obj),
        ",".join(sorted(_roles(obj))) or NONE,
        age_of(obj, now_s),
        info.get("kubeletVersion", ""),
        _address(status, "InternalIP"),
        _address(status, "ExternalIP"),
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _node_status(obj: Object) -> str:
    ready = meta.condition(obj, "Ready")
    states = ["Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"]
    if (obj.get("spec") or {}).get("unschedulable"):
        states.append("SchedulingDisabled")
    return ",".join(states)


def _roles(obj: Object) -> set[str]:
    roles = set()
    for key, value in meta.labels(obj).items():
        if key.startswith(_ROLE_LABEL) and len(key) > len(_ROLE_LABEL):
            roles.add(key.removeprefix(_ROLE_LABEL))
        elif key == _OLD_ROLE_LABEL and value:
            roles.add(value)
    return roles


def _address(status: Any, type_: str) -> str:
    addresses = status.get("addresses") or ()
    return next((a.get("address", "") for a in addresses if a.get("type") == type_), NONE)


@table("v1", "namespaces", "Name, Status, Age")
def namespace(obj: Object, now_s: float) -> Cells:
    return [name_of(obj), (obj.get("status") or {}).get("phase", ""), age_of(obj, now_s)]


@table("v1", "configmaps", "Name, Data, Age")
def config_map(obj: Object, now_s: float) -> Cells:
    return [name_of(obj), len(obj.get("data") or ()) + len(obj.get("binaryData") or ()), age_of(obj, now_s)]


@table("v1", "secrets", "Name, Type, Data, Age")
def secret(obj: Object, now_s: float) -> Cells:
    return [name_of(obj), obj.get("type", ""), len(obj.get("data") or ()), age_of(obj, now_s)]


@table("v1", "serviceaccounts", "Name, Secrets, Age")
def service_account(obj: Object, now_s: float) -> Cells:
    return [name_of(obj), len(obj.get("secrets") or ()), age_of(obj, now_s)]


def _event(obj: Object, now_s: float) -> Cells:
    """An event in its core form."""
    involved, series = obj.get("involvedObject") or {}, obj.get("series")
    first = age(obj.get("firstTimestamp") or obj.get("eventTime"), now_s)
    last = age(obj["lastTimestamp"], now_s) if obj.get("lastTimestamp") else first
    count = obj.get("count", 0) or 1
    if series:
        last, count = age(series.get("lastObservedTime"), now_s), series.get("count", 0)
    kind, name = involved.get("kind", "").lower(), involved.get("name", "")
    return [
        last,
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{kind}/{name}" if name else kind,
        involved.get("fieldPath", ""),
        _source(obj),
        (obj.get("message") or "").strip(),
        first,
        count,
        name_of(obj),
    ]


def _source(obj: Object) -> str:
    source = obj.get("source") or {}
    component = source.get("component") or obj.get("reportingComponent") or ""
    instance = source.get("host") or obj.get("reportingInstance") or ""
    return f"{component}, {instance}" if instance else component


_EVENT_LAYOUT = (
    "Last Seen, Type, Reason, Object, +Subobject, +Source, Message, +First Seen, +Count:integer, +Name"
)


@table("v1", "events", _EVENT_LAYOUT)
def event(obj: Object, now_s: float) -> Cells:
    return _event(obj, now_s)


@table("events.k8s.io/v1", "events", _EVENT_LAYOUT)
def new_event(obj: Object, now_s: float) -> Cells:
    from control_plane.api.conversion import convert

    return _event(convert(dict(obj), "v1"), now_s)


@table("v1", "resourcequotas", "Name, Request, Limit, Age")
def resource_quota(obj: Object, now_s: float) -> Cells:
    status = obj.get("status") or {}
    hard, used = status.get("hard") or {}, status.get("used") or {}
    requests: list[str] = []
    limits: list[str] = []
    for name in sorted(hard):
        shown = f"{name}: {used.get(name, '0')}/{hard[name]}"
        (limits if name.startswith("limits") else requests).append(shown)
    return [name_of(obj), ", ".join(requests), ", ".join(limits), age_of(obj, now_s)]


@table("v1", "componentstatuses", "Name, Status, Message, Error")
def component_status(obj: Object, now_s: float) -> Cells:
    healthy = next((c for c in obj.get("conditions") or () if c.get("type") == "Healthy"), None)
    if healthy is None:
        return [name_of(obj), "Unknown", "", ""]
    status = "Healthy" if healthy.get("status") == "True" else "Unhealthy"
    return [name_of(obj), status, healthy.get("message", ""), healthy.get("error", "")]


@table("coordination.k8s.io/v1", "leases", "Name, Holder, Age")
def lease(obj: Object, now_s: float) -> Cells:
    return [name_of(obj), (obj.get("spec") or {}).get("holderIdentity", ""), age_of(obj, now_s)]
