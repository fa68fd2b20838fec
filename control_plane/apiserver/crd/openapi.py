"""OpenAPI of custom resources: one v3 document per group version, and what they add to the v2 document.

Documents are rendered when first asked for and kept until a definition changes. The definitions that all of them
refer to (ObjectMeta, Status …) are taken from a built document, so that nothing large is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import orjson

from control_plane.api import build
from control_plane.api.discovery import Rendered
from control_plane.api.openapi import documents, paths
from control_plane.api.registry import Resource
from control_plane.api.resources import definition_name
from control_plane.api.schema import OBJECT_META
from control_plane.apiserver.crd.kind import CustomVersion
from control_plane.apiserver.crd.prune import PRESERVE
from control_plane.apiserver.crd.served import Served

Json = dict[str, Any]

LIST_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"
SCALE = definition_name("autoscaling", "v1", "Scale")
_SOURCES = ("apis/coordination.k8s.io/v1", "apis/apps/v1")  # hold what is referred to, Scale included
_API_VERSION = (
    "APIVersion defines the versioned schema of this representation of an object. Servers should convert "
    "recognized schemas to the latest internal value, and may reject unrecognized values. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources"
)
_KIND = (
    "Kind is a string value representing the REST resource this object represents. Servers may infer this from the "
    "endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds"
)
_METADATA = (
    "Standard object's metadata. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
)
_LIST_METADATA = (
    "Standard list metadata. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds"
)


class CustomDocuments:
    """What all served definitions add to the server's OpenAPI."""

    def __init__(self) -> None:
        self._served: dict[str, Served] = {}
        self._v3: dict[str, Rendered] = {}
        self._v2: Json | None = None

    def change(self, before: Served | None, after: Served | None) -> None:
        for each in (before, after):
            for resource in each.resources if each else ():
                self._v3.pop(_key(resource), None)
        if before is not None:
            self._served.pop(before.name, None)
        if after is not None:
            self._served[after.name] = after
        self._v2 = None

    def v3_keys(self) -> list[str]:
        return sorted({_key(resource) for resource in self._resources()})

    def v3(self, key: str) -> Rendered | None:
        if key not in self._v3:
            members = [each for each in self._resources() if _key(each) == key]
            if not members:
                return None
            body = orjson.dumps(v3_document(members))
            self._v3[key] = Rendered(body, f'"{documents.digest(body)}"')
        return self._v3[key]

    def v2(self) -> Json:
        """`paths` and `definitions` to be added to the v2 document; empty when there are none."""
        if self._v2 is None:
            self._v2 = v2_addition(list(self._resources()))
        return self._v2

    def _resources(self) -> Iterator[Resource]:
        for name in sorted(self._served):
            yield from self._served[name].resources


def _key(resource: Resource) -> str:
    return documents.group_version_key(resource.group, resource.version)


def v3_document(members: Iterable[Resource]) -> Json:
    """The document of one group version."""

    def reference(name: str) -> Json:
        return {"$ref": f"#/components/schemas/{name}"}

    shared = dict(_shared())
    schemas: Json = {}
    served_paths: Json = {}
    for resource in members:
        for path in paths.of_resource(resource):
            if path.operations:
                served_paths[path.path] = paths.v3_item(path, reference)
        schemas |= _definitions(resource, lambda name: {"allOf": [reference(name)]}, _v3_schema)
        if resource.has_scale:
            schemas |= _closure([SCALE], shared)
    common = [paths.STATUS, paths.DELETE_OPTIONS, paths.PATCH, OBJECT_META, LIST_META]
    return {
        "openapi": "3.0.0",
        "info": documents.INFO,
        "paths": served_paths,
        "components": {
            "schemas": dict(sorted((_closure(common, shared) | schemas).items())),
            "parameters": paths.v3_parameters(),
        },
    }


def v2_addition(members: list[Resource]) -> Json:
    def reference(name: str) -> Json:
        return {"$ref": f"#/definitions/{name}"}

    added: Json = {"paths": {}, "definitions": {}}
    for resource in members:
        for path in paths.of_resource(resource):
            if path.operations:
                added["paths"][path.path] = paths.v2_item(path, reference)
        added["definitions"] |= _definitions(resource, reference, _v2_schema)
    return added


def _definitions(
    resource: Resource, reference: Callable[[str], Json], schema_of: Callable[[Any], Any]
) -> Json:
    kind = resource.custom_kind
    assert isinstance(kind, CustomVersion)
    group, version, name = resource.gvk
    shown: Json = dict(schema_of(kind.schema))
    shown["type"] = "object"
    if schema_of is _v2_schema and kind.schema.get(PRESERVE):
        shown = {"type": "object"}  # kubectl would take what is named for all that there may be
    else:
        shown["properties"] = {
            **(shown.get("properties") or {}),
            "apiVersion": {"type": "string", "description": _API_VERSION},
            "kind": {"type": "string", "description": _KIND},
            "metadata": {"description": _METADATA, **reference(OBJECT_META)},
        }
    shown["x-kubernetes-group-version-kind"] = [{"group": group, "kind": name, "version": version}]
    if kind.selectable_fields:
        shown["x-kubernetes-selectable-fields"] = [{"fieldPath": path} for path in kind.selectable_fields]
    listed = {
        "description": f"{resource.list_kind} is a list of {name}",
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string", "description": _API_VERSION},
            "items": {
                "type": "array",
                "description": f"List of {resource.resource}. More info: "
                "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md",
                "items": reference(resource.definition) | {},
            },
            "kind": {"type": "string", "description": _KIND},
            "metadata": {"description": _LIST_METADATA, **reference(LIST_META)},
        },
        "x-kubernetes-group-version-kind": [{"group": group, "kind": resource.list_kind, "version": version}],
    }
    return {
        resource.definition: shown,
        definition_name(group, version, resource.list_kind): listed,
    }


def _v3_schema(schema: Any) -> Any:
    """As the user wrote it, but for embedded resources, whose type is spelled out."""
    return _walk(schema, _embedded)


def _v2_schema(schema: Any) -> Any:
    """What v2 can say: no alternatives, no nullable values, no unions."""
    return _walk(schema, _for_v2)


_NOT_IN_V2 = ("nullable", "oneOf", "anyOf", "allOf", "not", "default")


def _for_v2(schema: Json) -> Json:
    schema = _embedded(schema)
    shown = {key: value for key, value in schema.items() if key not in _NOT_IN_V2}
    if schema.get("nullable") or schema.get("x-kubernetes-int-or-string"):
        shown.pop("type", None)
        for key in ("items", "properties", "additionalProperties", "required"):
            if schema.get("nullable"):
                shown.pop(key, None)
    if schema.get(PRESERVE):
        # kubectl before 1.23 refuses unknown fields of what it believes to know.
        for key in ("type", "items", "properties", "additionalProperties", "required"):
            shown.pop(key, None)
    return shown


def _embedded(schema: Json) -> Json:
    if not schema.get("x-kubernetes-embedded-resource"):
        return schema
    properties = schema.get("properties") or {}
    typed = {
        "apiVersion": {"type": "string", "description": _API_VERSION},
        "kind": {"type": "string", "description": _KIND},
        "metadata": {"type": "object", "description": _METADATA},
    }
    return {**schema, "properties": {**typed, **properties}}


def _walk(schema: Any, change: Callable[[Json], Json]) -> Any:
    """Change every schema below and then this one; the original stays as it is."""
    if not isinstance(schema, Mapping):
        return schema
    made: Json = dict(schema)
    if isinstance(made.get("properties"), Mapping):
        made["properties"] = {key: _walk(value, change) for key, value in made["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(made.get(key), Mapping):
            made[key] = _walk(made[key], change)
    return change(made)


@lru_cache(maxsize=1)
def _shared() -> Mapping[str, Json]:
    """The schemas that every document refers to, as v3 shows them."""
    directory = build.ensure_built() / "openapi"
    found: Json = {}
    for key in _SOURCES:
        raw = (directory / documents.file_name(key)).read_bytes()
        found |= orjson.loads(raw)["components"]["schemas"]
    roots = [paths.STATUS, paths.DELETE_OPTIONS, paths.PATCH, OBJECT_META, LIST_META, SCALE]
    return _closure(roots, found)


def _closure(roots: Iterable[str], found: Mapping[str, Json]) -> Json:
    chosen: Json = {}
    pending = list(roots)
    while pending:
        name = pending.pop()
        if name in found and name not in chosen:
            chosen[name] = found[name]
            pending += [each.rpartition("/")[2] for each in _references(found[name])]
    return chosen


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _references(item)
    elif isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from _references(item)
