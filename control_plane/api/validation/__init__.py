"""Semantic validation, with kube-apiserver's findings and wording.

`validate_create(resource, obj)` and `validate_update(resource, new, old)` return every finding, in the
order of the object's fields, metadata first. They run after decoding, defaulting and the strategy's
preparation, so that required structs are there and times and quantities are well formed. ObjectMeta is
judged for every kind; the spec for the kinds that have rules here. A status update is judged by metadata
and by the rules of `status.py`.
"""

from __future__ import annotations

from typing import Any

from control_plane.api.errors import FieldError
from control_plane.api.registry import Resource
from control_plane.api.validation import (
    access,
    autoscaling,
    batch,
    certificates,
    cluster,
    config,
    csi,
    devices,
    flowcontrol,
    ingress,
    metadata,
    migration,
    networking,
    pod,
    pod_resize,
    pod_update,
    policy,
    quota,
    service,
    status,
    storage,
    trust_bundles,
    workloads,
)
from control_plane.api.validation.registry import CREATE, STATUS, UPDATE
from control_plane.api.validation.warnings import warnings

__all__ = ["validate_create", "validate_update", "warnings"]

_AREAS = (
    access, autoscaling, batch, certificates, cluster, config, csi, devices, flowcontrol, ingress, migration, networking, pod, pod_update, policy,
    quota, service, status, storage, trust_bundles, workloads,
)  # fmt: skip
_OWN_RULES = {
    "approval": certificates.approval,
    "ephemeralcontainers": pod_update.ephemeral_containers,
    "resize": pod_resize.resize,
}

Object = dict[str, Any]


def validate_create(resource: Resource, obj: Object) -> list[FieldError]:
    found = list(metadata.validate(resource, obj))
    if resource.custom_kind is not None:
        return [*found, *resource.custom_kind.validate(obj, None)]
    rule = CREATE.get(resource.group_resource)
    return found + list(rule(obj)) if rule else found


def validate_update(resource: Resource, new: Object, old: Object, subresource: str = "") -> list[FieldError]:
    found = [*metadata.validate_update(new, old), *metadata.validate(resource, new)]
    if resource.custom_kind is not None:
        return [*found, *resource.custom_kind.validate(new, old, subresource)]
    if subresource in _OWN_RULES:
        return found + list(_OWN_RULES[subresource](new, old))
    if subresource == "status" and (rule := STATUS.get(resource.group_resource)):
        return found + list(rule(new, old))
    if subresource:
        return found
    if _wish(new) == _wish(old):
        return found  # what it asks for was accepted before
    create, update = CREATE.get(resource.group_resource), UPDATE.get(resource.group_resource)
    if create:
        found += create(new)
    if update:
        found += update(new, old)
    return found


def _wish(obj: Object) -> Object:
    return {
        key: value for key, value in obj.items() if key not in ("metadata", "status", "apiVersion", "kind")
    }
