"""The generic write strategy, steered by a table, with hooks for what single kinds add.

The order of a create: decode, default, system metadata (uid, creationTimestamp) → `prepare_for_create` →
validation. Of an update: decode, default → `prepare_for_update(new, old)` → validation. All functions
change `new` in place and never touch `old`; parts of `old` may be shared with `new` afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from control_plane.api import schema
from control_plane.api.copying import copied
from control_plane.api.registry import Resource
from control_plane.api.strategy import hooks

Object = dict[str, Any]

BACKGROUND, ORPHAN = "Background", "Orphan"

_GENERATION = {
    "": {"pods", "replicationcontrollers", "podtemplates"},
    "apps": {"deployments", "replicasets", "statefulsets", "daemonsets"},
    "batch": {"jobs", "cronjobs"},
    "policy": {"poddisruptionbudgets"},
    "networking.k8s.io": {"ingresses", "ingressclasses", "networkpolicies"},
    "discovery.k8s.io": {"endpointslices"},
    "scheduling.k8s.io": {"priorityclasses"},
    "resource.k8s.io": {"devicetaintrules"},
    "apiextensions.k8s.io": {"customresourcedefinitions"},
    "admissionregistration.k8s.io": {
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
        "mutatingwebhookconfigurations",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "validatingwebhookconfigurations",
    },
    "flowcontrol.apiserver.k8s.io": {"flowschemas", "prioritylevelconfigurations"},
}
"""The resources whose metadata.generation counts changes of what users ask for."""

_CREATE_ON_UPDATE = {
    "endpoints",
    "events",
    "events.events.k8s.io",
    "leases.coordination.k8s.io",
    "limitranges",
    "services",
    "clusterrolebindings.rbac.authorization.k8s.io",
    "clusterroles.rbac.authorization.k8s.io",
    "rolebindings.rbac.authorization.k8s.io",
    "roles.rbac.authorization.k8s.io",
}
_CONDITIONAL_UPDATE_ONLY = {
    "apiservices.apiregistration.k8s.io",
    "csidrivers.storage.k8s.io",
    "csinodes.storage.k8s.io",
    "customresourcedefinitions.apiextensions.k8s.io",
    "flowschemas.flowcontrol.apiserver.k8s.io",
    "leases.coordination.k8s.io",
    "mutatingadmissionpolicies.admissionregistration.k8s.io",
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "poddisruptionbudgets.policy",
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
    "runtimeclasses.node.k8s.io",
    "validatingadmissionpolicies.admissionregistration.k8s.io",
    "validatingadmissionpolicybindings.admissionregistration.k8s.io",
    "validatingwebhookconfigurations.admissionregistration.k8s.io",
    "volumeattachments.storage.k8s.io",
}
_ORPHAN_BY_DEFAULT = {"replicationcontrollers", "jobs.batch"}
_STATUS_ON_CREATE = {"nodes"}  # a kubelet registers with what it knows
_SERVER_METADATA = ("generation", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink")
_OWN_METADATA = ("labels", "annotations", "finalizers", "ownerReferences")  # of whoever writes the object
_KEPT_BY_STATUS = {  # a write of the status leaves them as they are
    "apiservices.apiregistration.k8s.io": _OWN_METADATA,
    "deployments.apps": ("labels",),
    "flowschemas.flowcontrol.apiserver.k8s.io": _OWN_METADATA,
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": _OWN_METADATA,
    "resourceclaims.resource.k8s.io": _OWN_METADATA,
    "servicecidrs.networking.k8s.io": _OWN_METADATA,
    "validatingadmissionpolicies.admissionregistration.k8s.io": _OWN_METADATA,
    "volumeattachments.storage.k8s.io": _OWN_METADATA,
}


@dataclass(frozen=True, slots=True)
class Strategy:
    resource: Resource
    hooks: hooks.Hooks
    counts_generation: bool
    allow_create_on_update: bool
    allow_unconditional_update: bool
    default_propagation: str

    def prepare_for_create(self, obj: Object, user: Mapping[str, Any] | None = None) -> None:
        """`user` is {username, uid, groups, extra} of the requester, for kinds that record it."""
        metadata = obj.setdefault("metadata", {})
        for key in _SERVER_METADATA:
            metadata.pop(key, None)
        if self.resource.custom or self.counts_generation:
            metadata["generation"] = 1
        if self.resource.has_status and self.resource.group_resource not in _STATUS_ON_CREATE:
            self._reset_status(obj)
        if self.hooks.create:
            self.hooks.create(obj)
        if self.hooks.create_as and user is not None:
            self.hooks.create_as(obj, user)

    def prepare_for_update(self, new: Object, old: Object) -> None:
        self._keep_server_metadata(new, old)
        if self.resource.has_status:
            _keep(new, old, "status")
        if self.hooks.update:
            self.hooks.update(new, old)
        if self.counts_generation or self.resource.custom:
            self._count_generation(new, old)

    @property
    def kept_by_status(self) -> tuple[str, ...]:
        """What of the metadata a write of the status does not change."""
        if self.resource.custom:
            return _OWN_METADATA
        return _KEPT_BY_STATUS.get(self.resource.group_resource, ())

    def prepare_for_status_update(self, new: Object, old: Object) -> None:
        """Only the status may change; for most kinds metadata may, too."""
        self._keep_server_metadata(new, old)
        for key in (set(new) | set(old)) - {"metadata", "status", "apiVersion", "kind"}:
            _keep(new, old, key)
        for key in self.kept_by_status:
            _keep(new["metadata"], old["metadata"], key)
        if self.hooks.status_update:
            self.hooks.status_update(new, old)

    def prepare_for_subresource_update(self, subresource: str, new: Object, old: Object) -> None:
        """An update through `status`, or through a subresource that carries the whole object."""
        if subresource == "status":
            self.prepare_for_status_update(new, old)
            return
        self._keep_server_metadata(new, old)
        function = self.hooks.subresources.get(subresource)
        if function:
            function(new, old)
        if self.counts_generation:
            self._count_generation(new, old)

    def grace_period_s(self, obj: Object, requested_s: int | None) -> int:
        """How long the object may linger after a delete; 0 means it goes at once."""
        return self.hooks.grace(obj, requested_s) if self.hooks.grace else 0

    @property
    def graceful(self) -> bool:
        return self.hooks.grace is not None

    def _reset_status(self, obj: Object) -> None:
        obj.pop("status", None)
        node = schema.definition(self.resource.definition) if self.resource.definition else None
        status = node.child("status") if node else None
        if status is not None and not status.is_pointer:
            obj["status"] = schema.complete(status, {})

    def _count_generation(self, new: Object, old: Object) -> None:
        generation = (old.get("metadata") or {}).get("generation") or 0
        new["metadata"]["generation"] = generation + 1 if self._wish_changed(new, old) else generation

    def _wish_changed(self, new: Object, old: Object) -> bool:
        ignored = {"metadata", "status", "apiVersion", "kind"}
        if self.resource.custom and not self.resource.has_status:
            ignored = {"metadata"}  # without a subresource of its own the status is like any other field
        keys = (set(new) | set(old)) - ignored
        if any(new.get(key) != old.get(key) for key in keys):
            return True
        if self.resource.group_resource == "deployments.apps":  # its controller copies annotations
            return bool(_annotations(new) != _annotations(old))
        return False

    def _keep_server_metadata(self, new: Object, old: Object) -> None:
        metadata = new.setdefault("metadata", {})
        for key in ("uid", "creationTimestamp", *_SERVER_METADATA):
            if key == "uid" and metadata.get("uid"):
                continue  # a different one is a conflict, which the caller must see
            _keep(metadata, old.get("metadata") or {}, key)


_strategies: dict[tuple[str, str, str], Strategy] = {}


def strategy_for(resource: Resource) -> Strategy:
    if resource.custom:
        return _make(resource)
    found = _strategies.get(resource.gvr)
    if found is None:
        found = _strategies[resource.gvr] = _make(resource)
    return found


def _make(resource: Resource) -> Strategy:
    name = resource.group_resource
    return Strategy(
        resource,
        hooks.HOOKS.get(name, hooks.NONE),
        resource.resource in _GENERATION.get(resource.group, ()),
        name in _CREATE_ON_UPDATE,
        not resource.custom and name not in _CONDITIONAL_UPDATE_ONLY,
        ORPHAN if name in _ORPHAN_BY_DEFAULT else BACKGROUND,
    )


def _keep(new: Object, old: Object, key: str) -> None:
    if key in old:
        new[key] = copied(old[key]) if isinstance(old[key], dict | list) else old[key]
    else:
        new.pop(key, None)


def _annotations(obj: Object) -> dict[str, str]:
    return (obj.get("metadata") or {}).get("annotations") or {}
