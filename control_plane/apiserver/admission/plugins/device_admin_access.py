"""DeviceAdminAccess: devices in use by others are given only within a namespace that is labelled for it (KEP 5018).

Always in the chain; kube-apiserver has the same check in the strategies of claims and their templates. A spec does
not change, so that only its creation is judged; of an allocation, only the write that first grants the access.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from control_plane.api import errors, meta
from control_plane.apiserver.admission.interface import AdmissionRequest, Object, Operation
from control_plane.apiserver.admission.plugin import Dependencies, Plugin, name_for_messages
from control_plane.apiserver.admission.scoping import namespace_of

LABEL = "resource.kubernetes.io/admin-access"
REQUIRED = f"admin access to devices requires the `{LABEL}: true` label on the containing namespace"

GROUP = "resource.k8s.io"
_SPECS = {"resourceclaims": ("spec",), "resourceclaimtemplates": ("spec", "spec")}


class DeviceAdminAccess(Plugin):
    name = "DeviceAdminAccess"
    concerns = frozenset((GROUP, resource) for resource in _SPECS)

    def __init__(self, dependencies: Dependencies) -> None:
        self._reader = dependencies.reader

    async def validate(self, request: AdmissionRequest) -> None:
        path = asked_at(request)
        if not path:
            return
        namespace = await namespace_of(request, self._reader)
        if meta.labels(namespace or {}).get(LABEL) != "true":
            problem = errors.forbidden_field(path, REQUIRED)
            raise errors.invalid(request.group, request.kind, name_for_messages(request), [problem])


def asked_at(request: AdmissionRequest) -> str:
    """The field that newly asks for the access; "" for none."""
    if request.group != GROUP or request.resource not in _SPECS or request.object is None:
        return ""
    if request.operation is Operation.CREATE and not request.subresource:
        requests = meta.nested(request.object, *_SPECS[request.resource], "devices", "requests", default=())
        index = _first([each.get("exactly") or {} for each in requests])
        return "" if index is None else f"spec.devices.requests[{index}].adminAccess"
    if request.subresource == "status" and _first(_results(request.old_object or {})) is None:
        index = _first(_results(request.object))
        return "" if index is None else f"status.allocation.devices.results[{index}].adminAccess"
    return ""


def _results(claim: Object) -> Sequence[Any]:
    found: Sequence[Any] = meta.nested(claim, "status", "allocation", "devices", "results", default=())
    return found


def _first(items: Sequence[Object]) -> int | None:
    return next((index for index, each in enumerate(items) if each.get("adminAccess")), None)
