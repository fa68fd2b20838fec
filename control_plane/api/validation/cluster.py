"""Namespaces, nodes, events, leases, priority and runtime classes."""

from __future__ import annotations

from typing import Any

from control_plane.api import errors, names
from control_plane.api.quantity import parse_or_zero
from control_plane.api.validation import metadata, placement, resources
from control_plane.api.validation.registry import (
    NOT_NEGATIVE,
    Errors,
    Object,
    immutable,
    on_create,
    on_update,
    one_of,
    problems,
    spec_of,
)

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


@on_create("namespaces")
def namespace(obj: Object) -> Errors:
    for finalizer in spec_of(obj).get("finalizers") or ():
        yield from problems("spec.finalizers", finalizer, names.label_key(finalizer))
        if "/" not in finalizer and finalizer != "kubernetes":
            yield errors.invalid_value(
                "spec.finalizers",
                finalizer,
                "name is neither a standard finalizer name nor is it fully qualified",
            )


@on_create("nodes")
def node(obj: Object) -> Errors:
    spec = spec_of(obj)
    taken: set[tuple[Any, Any]] = set()
    for index, taint in enumerate(spec.get("taints") or ()):
        path, key, effect = f"spec.taints[{index}]", taint.get("key", ""), taint.get("effect")
        yield from problems(f"{path}.key", key, names.label_key(key))
        yield from problems(
            f"{path}.value", taint.get("value", ""), names.label_value(taint.get("value", ""))
        )
        yield from one_of(f"{path}.effect", effect, _EFFECTS)
        if (key, effect) in taken:
            yield errors.duplicate(path, taint)
        taken.add((key, effect))
    for index, text in enumerate(spec.get("podCIDRs") or ()):
        yield from problems(f"spec.podCIDRs[{index}]", text, names.cidr(text))
    status = obj.get("status") or {}
    for name in ("capacity", "allocatable"):
        for resource, amount in (status.get(name) or {}).items():
            if parse_or_zero(amount).nanos < 0:
                yield errors.invalid_value(f"status.{name}[{resource}]", str(amount), NOT_NEGATIVE)


@on_update("nodes")
def node_update(new: Object, old: Object) -> Errors:
    spec, before = spec_of(new), spec_of(old)
    if before.get("podCIDRs") and spec.get("podCIDRs") != before["podCIDRs"]:
        yield errors.forbidden_field(
            "spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid'
        )
    if before.get("providerID") and spec.get("providerID") != before["providerID"]:
        yield errors.forbidden_field(
            "spec.providerID", 'node updates may not change providerID except from "" to valid'
        )


@on_create("leases.coordination.k8s.io")
def lease(obj: Object) -> Errors:
    spec = spec_of(obj)
    duration_s = spec.get("leaseDurationSeconds")
    if duration_s is not None and duration_s <= 0:
        yield errors.invalid_value("spec.leaseDurationSeconds", duration_s, "must be greater than 0")
    transitions = spec.get("leaseTransitions")
    if transitions is not None and transitions < 0:
        yield errors.invalid_value("spec.leaseTransitions", transitions, "must be greater than or equal to 0")
    if spec.get("holderIdentity") == "":
        yield errors.invalid_value("spec.holderIdentity", "", "must not be empty")


@on_create("events")
def event(obj: Object) -> Errors:
    metadata, involved = obj.get("metadata") or {}, obj.get("involvedObject") or {}
    namespace = metadata.get("namespace", "")
    if involved.get("namespace"):
        if involved["namespace"] != namespace:
            yield errors.invalid_value(
                "involvedObject.namespace", involved["namespace"], "does not match event.namespace"
            )
    elif namespace not in ("default", "kube-system"):
        yield errors.invalid_value("involvedObject.namespace", "", "does not match event.namespace")
    if obj.get("eventTime"):  # the new API's events say who reports
        for key in ("reportingComponent", "reportingInstance", "action", "reason"):
            if not obj.get(key):
                yield errors.required({"reportingComponent": "reportingController"}.get(key, key))
        yield from one_of("type", obj.get("type"), ("Normal", "Warning"))


@on_create("priorityclasses.scheduling.k8s.io")
def priority_class(obj: Object) -> Errors:
    name, value = (obj.get("metadata") or {}).get("name", ""), obj.get("value", 0)
    if name.startswith("system-"):
        if name not in ("system-cluster-critical", "system-node-critical"):
            yield errors.forbidden_field(
                "metadata.name",
                "priority class names with 'system-' prefix are reserved for system use only. error: "
                + name
                + " is not a known system priority class",
            )
    elif value > 1_000_000_000:
        yield errors.forbidden_field(
            "value", "maximum allowed value of a user defined priority is 1000000000"
        )
    yield from one_of("preemptionPolicy", obj.get("preemptionPolicy"), ("PreemptLowerPriority", "Never"))


@on_update("priorityclasses.scheduling.k8s.io")
def priority_class_update(new: Object, old: Object) -> Errors:
    if new.get("value", 0) != old.get("value", 0):
        yield errors.forbidden_field("value", "may not be changed in an update.")
    yield from immutable("preemptionPolicy", new.get("preemptionPolicy"), old.get("preemptionPolicy"))


@on_create("runtimeclasses.node.k8s.io")
def runtime_class(obj: Object) -> Errors:
    yield from problems("handler", obj.get("handler", ""), names.dns_label(obj.get("handler", "")))
    overhead = (obj.get("overhead") or {}).get("podFixed") or {}
    yield from resources.requirements("overhead.podFixed", {"limits": overhead})
    scheduling = obj.get("scheduling") or {}
    yield from metadata.labels("scheduling.nodeSelector", scheduling.get("nodeSelector"))
    yield from placement.tolerations("scheduling.tolerations", scheduling.get("tolerations") or [])


@on_update("runtimeclasses.node.k8s.io")
def runtime_class_update(new: Object, old: Object) -> Errors:
    yield from immutable("handler", new.get("handler"), old.get("handler"))
