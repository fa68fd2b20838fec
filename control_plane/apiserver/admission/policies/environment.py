"""The values of what expressions of admission may speak of (names.py), for one request."""

from __future__ import annotations

from typing import Any

from control_plane.apiserver import cel
from control_plane.apiserver.admission.interface import AdmissionRequest
from control_plane.apiserver.admission.policies.authorizer import Asking, AuthorizerValue
from control_plane.apiserver.admission.versions import Versions, View
from control_plane.apiserver.authz.interface import Attributes, Authorizer

Object = dict[str, Any]

_NAMESPACE_METADATA = (
    "name",
    "generateName",
    "namespace",
    "labels",
    "annotations",
    "UID",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "resourceVersion",
    "finalizers",
)


async def values(
    request: AdmissionRequest,
    versions: Versions,
    view: View,
    namespace: Object | None,
    authorizer: Authorizer,
    params: Object | None = None,
) -> dict[str, Any]:
    """Raises StatusError for an object that cannot be converted."""
    return {
        "object": await versions.shown(request.object, request, view),
        "oldObject": await versions.shown(request.old_object, request, view),
        "request": cel.Lazy(lambda: request_value(request, versions, view)),
        "namespaceObject": cel.Lazy(lambda: namespace_value(namespace)),
        "params": params,
        "authorizer": cel.Lazy(lambda: authorizer_value(request, authorizer)),
    }


def request_value(request: AdmissionRequest, versions: Versions, view: View) -> Object:
    own = versions.request_view(request)
    found: Object = {
        "kind": dict(zip(("group", "version", "kind"), view.gvk, strict=True)),
        "resource": dict(zip(("group", "version", "resource"), view.gvr, strict=True)),
        "requestKind": dict(zip(("group", "version", "kind"), own.gvk, strict=True)),
        "requestResource": dict(zip(("group", "version", "resource"), own.gvr, strict=True)),
        "operation": request.operation.value,
        "userInfo": request.user.as_object(),
        "dryRun": request.dry_run,
        "options": dict(request.options) or None,
    }
    if request.subresource:
        found |= {"subResource": request.subresource, "requestSubResource": request.subresource}
    return found | {
        key: value for key, value in (("name", request.name), ("namespace", request.namespace)) if value
    }


def namespace_value(namespace: Object | None) -> Object | None:
    """What expressions may see of a namespace."""
    if namespace is None:
        return None
    metadata = namespace["metadata"]
    shown: Object = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {key: metadata[key] for key in _NAMESPACE_METADATA if key in metadata},
    }
    for part, key in (("spec", "finalizers"), ("status", "phase")):
        shown[part] = {key: value} if (value := (namespace.get(part) or {}).get(key)) else {}
    return shown


def authorizer_value(request: AdmissionRequest, authorizer: Authorizer) -> AuthorizerValue:
    itself = Attributes(
        user=request.user,
        verb="",
        group=request.group,
        version=request.version,
        resource=request.resource,
        subresource=request.subresource,
        namespace=request.namespace,
        name=request.name,
    )
    return AuthorizerValue(Asking(authorizer, request.user), itself)
