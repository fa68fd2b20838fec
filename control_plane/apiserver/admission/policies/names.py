"""What expressions of admission may speak of, by type; environment.py says what that is for one request.

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
from control_plane.apiserver.admission.policies.authorizer import AUTHORIZER

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


def known_names(params: bool, authorizer: bool = True) -> dict[str, cel.Type]:
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
