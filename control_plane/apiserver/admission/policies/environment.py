"""What expressions of admission may speak of, by type, and what that is for one request.

| name                         | what                                                                        |
|------------------------------|-----------------------------------------------------------------------------|
| `object`, `oldObject`        | in the version that the policy's rules name; null where there is none       |
| `request`                    | the AdmissionRequest, without the objects                                   |
| `namespaceObject`            | the namespace of the object; null for what is cluster-scoped                |
| `params`                     | the parameter object, for policies with a paramKind                         |
| `variables`                  | the policy's own, each computed when first used                             |
| `authorizer`                 | questions about what the user may do besides                                |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from control_plane.apiserver import cel
from control_plane.apiserver.admission.interface import AdmissionRequest
from control_plane.apiserver.admission.policies.authorizer import AUTHORIZER, Asking, AuthorizerValue
from control_plane.apiserver.admission.versions import Versions, View
from control_plane.apiserver.admission.webhooks.review import user_info
from control_plane.apiserver.authz.interface import Attributes, Authorizer

Object = dict[str, Any]

_GVK = cel.object_of(
    "kubernetes.GroupVersionKind",
    lambda: {"group": cel.STRING, "version": cel.STRING, "kind": cel.STRING},
)
_GVR = cel.object_of(
    "kubernetes.GroupVersionResource",
    lambda: {"group": cel.STRING, "version": cel.STRING, "resource": cel.STRING},
)
_USER = cel.object_of(
    "kubernetes.UserInfo",
    lambda: {
        "username": cel.STRING,
        "uid": cel.STRING,
        "groups": cel.list_of(cel.STRING),
        "extra": cel.map_of(cel.STRING, cel.list_of(cel.STRING)),
    },
)
REQUEST = cel.object_of(
    "kubernetes.AdmissionRequest",
    lambda: {
        "kind": _GVK,
        "resource": _GVR,
        "subResource": cel.STRING,
        "requestKind": _GVK,
        "requestResource": _GVR,
        "requestSubResource": cel.STRING,
        "name": cel.STRING,
        "namespace": cel.STRING,
        "operation": cel.STRING,
        "userInfo": _USER,
        "dryRun": cel.BOOL,
        "options": cel.DYN,
    },
)
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


def variables(params: bool, authorizer: bool = True) -> dict[str, cel.Type]:
    """The names that an expression may use, besides `variables`."""
    found = {
        "object": cel.DYN,
        "oldObject": cel.DYN,
        "request": REQUEST,
        "namespaceObject": cel.DYN,
    }
    if params:
        found["params"] = cel.DYN
    if authorizer:
        found["authorizer"] = AUTHORIZER
    return found


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
        "userInfo": user_info(request.user),
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


class Variables(dict[str, Any]):
    """`variables` in expressions: a field is computed when it is first read, and may use those before it."""

    def __init__(self, compute: Mapping[str, Callable[[], Any]]) -> None:
        super().__init__()
        self._compute = compute

    def __missing__(self, name: str) -> Any:
        if name not in self._compute:
            raise KeyError(name)
        value = self[name] = self._compute[name]()
        return value

    def __contains__(self, name: object) -> bool:
        return name in self._compute
