"""The object of a request as others want to see it, and back: the version that a rule names, a Scale for `scale`.

Admission carries objects in the version in which they are stored. A webhook or policy is shown them in the version
that its rules name; what a webhook changes is decoded and defaulted like a client's own object, since it may hold
anything, and then put where the old one was, so that everyone who holds the object sees the new one.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from control_plane.api import defaults
from control_plane.api.decode import decode
from control_plane.api.registry import Registry, Resource
from control_plane.api.schema import lookup
from control_plane.api.strategy import from_scale, to_scale
from control_plane.apiserver import conversion
from control_plane.apiserver.admission.interface import AdmissionRequest

SCALE_GVK = ("autoscaling", "v1", "Scale")

Object = dict[str, Any]
GVR = tuple[str, str, str]
GVK = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class View:
    """How one matched group, version and resource is shown."""

    gvr: GVR
    gvk: GVK
    resource: Resource | None  # None for what is not served by that name


class Versions:
    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    def view(self, request: AdmissionRequest, gvr: GVR) -> View:
        resource = self.registry.get(*gvr)
        if resource is None:
            return View(gvr, (gvr[0], gvr[1], request.kind), None)
        if request.subresource in resource.subresources:
            return View(gvr, resource.subresource_gvk(request.subresource), resource)
        return View(gvr, resource.gvk, resource)

    def request_view(self, request: AdmissionRequest) -> View:
        return self.view(request, (request.group, request.version, request.resource))

    async def shown(self, obj: Object | None, request: AdmissionRequest, view: View) -> Object | None:
        """Not to be changed. An object of another kind (options, an Eviction) is shown as it is. Raises
        StatusError when it cannot be converted."""
        resource = view.resource
        if obj is None or resource is None or obj.get("kind") != resource.kind:
            return obj
        if request.subresource == "scale":
            return _scale_of(resource, obj)
        return await _converted(obj, resource)

    async def put_back(self, changed: Object, request: AdmissionRequest, view: View) -> None:
        """Make a changed copy of what was shown the object of the request. Raises DecodeError, StatusError."""
        target, resource = request.object, view.resource
        assert target is not None
        changed = _decoded(changed, view)
        if resource is not None and target.get("kind") == resource.kind:
            if request.subresource == "scale":
                changed = _scaled(resource, target, changed)
            elif resource.custom:
                changed = await _converted(changed, self.request_view(request).resource or resource)
            else:
                changed = conversion.to_storage(changed, resource)
        replace_in_place(target, changed)


async def _converted(obj: Object, resource: Resource) -> Object:
    """The object in the version of `resource`. Custom resources may have to ask a webhook."""
    custom = resource.custom_kind
    if custom is None:
        return conversion.to_version(obj, resource)
    if obj.get("apiVersion") == resource.api_version:
        return obj
    converted: Object = (await custom.convert([deepcopy(obj)]))[0]
    return converted


def _scale_of(resource: Resource, obj: Object) -> Object:
    custom = resource.custom_kind
    return to_scale(resource, obj) if custom is None else custom.scale_of(obj)


def _scaled(resource: Resource, obj: Object, scale: Object) -> Object:
    custom = resource.custom_kind
    return from_scale(resource, obj, scale) if custom is None else custom.scaled(obj, scale)


def _decoded(obj: Object, view: View) -> Object:
    """The object without fields that its kind does not have, and with defaults. Raises DecodeError."""
    resource = view.resource
    if resource is not None and resource.custom_kind is not None and view.gvk == resource.gvk:
        obj = resource.custom_kind.decode(obj).object
        resource.custom_kind.default(obj)
        return obj
    node = lookup(*view.gvk)
    if node is not None:
        obj = decode(node, obj).object
    defaults.apply(*view.gvk, obj)
    return obj


def replace_in_place(target: Object, new: Object) -> None:
    """`target` becomes `new`; its metadata stays the same dict, which others may hold too."""
    metadata = target.get("metadata")
    new_metadata = new.get("metadata")
    if new is not target:
        target.clear()
        target.update(new)
    if isinstance(metadata, dict) and isinstance(new_metadata, dict) and metadata is not new_metadata:
        metadata.clear()
        metadata.update(new_metadata)
        target["metadata"] = metadata
