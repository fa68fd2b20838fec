"""The objects that parametrise a policy: of its paramKind, chosen by the binding's paramRef."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.api import meta
from control_plane.api.registry import Registry
from control_plane.api.selectors import from_label_selector
from control_plane.apiserver import conversion
from control_plane.apiserver.admission.interface import AdmissionRequest, Reader

Object = dict[str, Any]


class BadParams(Exception):
    """The binding's parameters cannot be had; failurePolicy decides."""


async def collect(
    kind: Mapping[str, str] | None,
    ref: Mapping[str, Any] | None,
    request: AdmissionRequest,
    reader: Reader,
    registry: Registry,
) -> list[Object | None]:
    """The policy is evaluated once with each of them; with None when it takes no parameters. Raises BadParams."""
    if kind is None or ref is None:
        return [None]
    resource = registry.by_api_version(kind.get("apiVersion", ""), kind.get("kind", ""))
    if resource is None:
        known = f"&ParamKind{{APIVersion:{kind.get('apiVersion', '')},Kind:{kind.get('kind', '')},}}"
        raise BadParams(f"paramKind kind `{known}` not known")
    namespace = _namespace(resource.namespaced, ref, request)
    stored = resource.storage_group, resource.resource
    if ref.get("name"):
        found = reader.get(*stored, namespace, ref["name"])
        if found is None:
            found = await reader.get_live(*stored, namespace, ref["name"])
        params = [found] if found is not None else []
    elif ref.get("selector") is not None:
        selector = from_label_selector(ref["selector"])
        params = [each for each in reader.list(*stored, namespace) if selector.matches(meta.labels(each))]
    else:
        raise BadParams("one of name or selector must be provided")
    if not params and ref.get("parameterNotFoundAction") == "Deny":
        raise BadParams("no params found for policy binding with `Deny` parameterNotFoundAction")
    return [conversion.to_version(each, resource) for each in params]


def _namespace(namespaced: bool, ref: Mapping[str, Any], request: AdmissionRequest) -> str:
    """Raises BadParams."""
    given: str = ref.get("namespace") or ""
    if not namespaced:
        if given:
            raise BadParams("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
        return ""
    if not given and not request.namespace:
        raise BadParams(
            "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
        )
    return given or request.namespace
