"""Whose request it is by labels: the selectors that webhooks and admission policies share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.api import errors, meta
from control_plane.api.selectors import LabelSelector
from control_plane.apiserver.admission.interface import AdmissionRequest, Operation, Reader

Object = dict[str, Any]


async def namespace_matches(selector: LabelSelector, request: AdmissionRequest, reader: Reader) -> bool:
    """Cluster-scoped objects are never left out, but a Namespace is judged by its own labels. Raises StatusError
    NotFound for a namespace that does not exist."""
    if not request.namespace and request.resource != "namespaces":
        return True
    if selector.empty:
        return True
    return selector.matches(await _namespace_labels(request, reader))


async def _namespace_labels(request: AdmissionRequest, reader: Reader) -> Mapping[str, str]:
    itself = request.resource == "namespaces" and not request.group and not request.subresource
    if itself and request.operation in (Operation.CREATE, Operation.UPDATE):
        return meta.labels(request.object or {})
    return meta.labels(await namespace_of(request, reader) or {})


async def namespace_of(request: AdmissionRequest, reader: Reader) -> Object | None:
    """The namespace that the request is in; None for what is in none. Raises StatusError NotFound."""
    if not request.namespace:
        return None
    found = reader.get("", "namespaces", "", request.namespace)
    if found is None:
        found = await reader.get_live("", "namespaces", "", request.namespace)
    if found is None:
        raise errors.not_found("", "namespaces", request.namespace)
    return found


def object_matches(selector: LabelSelector, request: AdmissionRequest) -> bool:
    """Either the new object or the old one is selected. What has no labels is never selected."""
    if selector.empty:
        return True
    return any(
        isinstance(each, dict)
        and isinstance(each.get("metadata"), dict)
        and selector.matches(meta.labels(each))
        for each in (request.object, request.old_object)
    )
