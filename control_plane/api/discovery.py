"""Discovery: what kubectl asks first. Legacy lists, and the aggregated form that answers in two requests.

Pure functions of the registry; `Discovery` keeps the rendered bytes with their ETag until the registry
changes. Groups of aggregated API servers are given as items already in the aggregated form.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from control_plane.api.registry import Registry, Resource, Subresource

Document = dict[str, Any]

AGGREGATED_VERSIONS = ("v2", "v2beta1")
CURRENT = "Current"


def api_versions(server_address: str = "") -> Document:
    """`GET /api`."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    }


def api_groups(registry: Registry, aggregated: Sequence[Document] = ()) -> Document:
    """`GET /apis`. `aggregated` are APIGroup objects of other servers."""
    groups = [_group(registry, name) for name in registry.groups()]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [*groups, *aggregated]}


def api_group(registry: Registry, group: str) -> Document | None:
    """`GET /apis/<group>`."""
    if group not in registry.groups():
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(registry, group)}


def api_resources(registry: Registry, group: str, version: str) -> Document | None:
    """`GET /api/v1` and `GET /apis/<group>/<version>`."""
    if not registry.has_group_version(group, version):
        return None
    rows: list[Document] = []
    for resource in registry.of_group_version(group, version):
        rows.append(_resource(resource))
        rows += [_subresource(resource, sub) for _, sub in sorted(resource.subresources.items())]
    group_version = f"{group}/{version}" if group else version
    document = {"kind": "APIResourceList", "groupVersion": group_version, "resources": rows}
    return {**document, "apiVersion": "v1"} if group else document


def aggregated_groups(
    registry: Registry, core: bool, api_version: str = "v2", others: Sequence[Document] = ()
) -> Document:
    """`GET /api` (core) and `GET /apis` as APIGroupDiscoveryList."""
    names = [""] if core else registry.groups()
    items = [_discovery_item(registry, name) for name in names]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{api_version}",
        "metadata": {},
        "items": items if core else [*items, *others],
    }


def storage_version_hash(resource: Resource) -> str:
    """Changes when objects are stored in another version; eight bytes of a digest, as upstream."""
    kept = f"{resource.storage_group}/{resource.storage_version}/{resource.kind}"
    return base64.b64encode(hashlib.sha256(kept.encode()).digest()[:8]).decode()


@dataclass(frozen=True, slots=True)
class Rendered:
    body: bytes
    etag: str  # quoted, as in the header


def render(document: Document) -> Rendered:
    body = orjson.dumps(document)
    return Rendered(body, f'"{hashlib.sha512(body).hexdigest().upper()}"')


class Discovery:
    """Rendered documents, made again when the registry's generation moves."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._generation = -1
        self._rendered: dict[tuple[str, ...], Rendered] = {}
        self.others: Sequence[Document] = ()  # aggregated servers, in the aggregated form
        self.other_groups: Sequence[Document] = ()  # and as APIGroup

    def legacy_core(self) -> Rendered:
        return self._render(("api",), api_versions)

    def legacy_groups(self) -> Rendered:
        return self._render(("apis",), lambda: api_groups(self._registry, self.other_groups))

    def group(self, group: str) -> Rendered | None:
        other = next((each for each in self.other_groups if each["name"] == group), None)
        if group not in self._registry.groups() and other is None:
            return None
        of_another = {"kind": "APIGroup", "apiVersion": "v1", **(other or {})}
        return self._render(("group", group), lambda: api_group(self._registry, group) or of_another)

    def resources(self, group: str, version: str) -> Rendered | None:
        if not self._registry.has_group_version(group, version):
            return None
        return self._render(
            ("resources", group, version), lambda: api_resources(self._registry, group, version) or {}
        )

    def aggregated(self, core: bool, api_version: str) -> Rendered:
        return self._render(
            ("aggregated", str(core), api_version),
            lambda: aggregated_groups(self._registry, core, api_version, self.others),
        )

    def invalidate(self) -> None:
        """`others` or `other_groups` changed."""
        self._generation = -1

    def _render(self, key: tuple[str, ...], make: Callable[[], Document]) -> Rendered:
        if self._generation != self._registry.generation:
            self._rendered.clear()
            self._generation = self._registry.generation
        if key not in self._rendered:
            self._rendered[key] = render(make())
        return self._rendered[key]


def _group(registry: Registry, group: str) -> Document:
    versions = [{"groupVersion": f"{group}/{v}", "version": v} for v in registry.versions(group)]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def _resource(resource: Resource) -> Document:
    row: Document = {
        "name": resource.resource,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    row |= _names(resource)
    if resource.persisted:
        row["storageVersionHash"] = storage_version_hash(resource)
    return row


def _subresource(resource: Resource, sub: Subresource) -> Document:
    group, version, kind = resource.subresource_gvk(sub.name)
    row: Document = {
        "name": f"{resource.resource}/{sub.name}",
        "singularName": "",
        "namespaced": resource.namespaced,
    }
    if (group, version) != (resource.group, resource.version):
        row |= {"group": group, "version": version}
    return row | {"kind": kind, "verbs": list(sub.verbs)}


def _names(resource: Resource) -> Document:
    names: Document = {}
    if resource.short_names:
        names["shortNames"] = list(resource.short_names)
    if resource.categories:
        names["categories"] = list(resource.categories)
    return names


def _discovery_item(registry: Registry, group: str) -> Document:
    metadata: Document = {"name": group} if group else {}
    return {
        "metadata": {**metadata, "creationTimestamp": None},
        "versions": [
            {
                "version": version,
                "resources": [_discovery_resource(r) for r in registry.of_group_version(group, version)],
                "freshness": CURRENT,
            }
            for version in registry.versions(group)
        ],
    }


def _discovery_resource(resource: Resource) -> Document:
    item: Document = {
        "resource": resource.resource,
        "responseKind": _kind(*resource.gvk),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
        **_names(resource),
    }
    if resource.subresources:
        item["subresources"] = [
            {
                "subresource": name,
                "responseKind": _kind(*resource.subresource_gvk(name)),
                "verbs": list(sub.verbs),
            }
            for name, sub in sorted(resource.subresources.items())
        ]
    return item


def _kind(group: str, version: str, kind: str) -> Document:
    return {"group": group, "version": version, "kind": kind}
