"""Whole OpenAPI documents from definitions and resources. The build writes them to files; nothing else runs
this, except for custom resources, whose documents are made when they are served.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from control_plane.api.openapi import gnostic, paths
from control_plane.api.registry import Registry
from control_plane.api.resources import OFF_BY_DEFAULT as OPTIONAL
from control_plane.api.sources import INT_OR_STRING, KUBERNETES_VERSION, QUANTITY

Json = dict[str, Any]
Definitions = Mapping[str, Json]

V2_JSON, V2_PROTOBUF, V3_INDEX = "v2.json", "v2.pb", "v3.json"
OFF_BY_DEFAULT = "off-by-default.json"
INFO = {"title": "Kubernetes", "version": KUBERNETES_VERSION}
_UNIONS = {
    INT_OR_STRING: [{"type": "integer"}, {"type": "string"}],
    QUANTITY: [{"type": "string"}, {"type": "number"}],
}


def write(directory: Path, registry: Registry, definitions: Definitions) -> None:
    """All documents, and an index of the v3 ones with the hashes that clients cache by. Of what is off by default
    there are the v3 documents, and what the v2 document gets where it is on."""
    directory.mkdir(parents=True, exist_ok=True)
    spec = v2(registry, definitions)
    (directory / V2_JSON).write_bytes(orjson.dumps(spec))
    (directory / V2_PROTOBUF).write_bytes(gnostic.document(spec))
    (directory / V3_INDEX).write_bytes(orjson.dumps(_write_v3(directory, registry, definitions)))
    optional = {}
    for group, version in OPTIONAL:
        alone = Registry.optional([(group, version)])
        addition = v2(alone, definitions)
        more = addition["definitions"].items()
        optional[group_version_key(group, version)] = {
            "v3": _write_v3(directory, alone, definitions),
            "paths": addition["paths"],
            "definitions": {name: each for name, each in more if name not in spec["definitions"]},
        }
    (directory / OFF_BY_DEFAULT).write_bytes(orjson.dumps(optional))


def _write_v3(directory: Path, registry: Registry, definitions: Definitions) -> dict[str, str]:
    """The hash of each document by its key."""
    index = {}
    for group in ["", *registry.groups()]:
        for version in registry.versions(group):
            body = orjson.dumps(v3(registry, group, version, definitions))
            key = group_version_key(group, version)
            (directory / file_name(key)).write_bytes(body)
            index[key] = digest(body)
    return index


def group_version_key(group: str, version: str) -> str:
    """As the index names it: `api/v1`, `apis/apps/v1`."""
    return f"apis/{group}/{version}" if group else f"api/{version}"


def file_name(key: str) -> str:
    return "v3_" + key.replace("/", "_") + ".json"


def digest(body: bytes) -> str:
    return hashlib.sha512(body).hexdigest().upper()


def v2(registry: Registry, definitions: Definitions) -> Json:
    def reference(name: str) -> Json:
        return {"$ref": f"#/definitions/{name}"}

    roots = {resource.definition for resource in registry} | _operation_roots(registry)
    names = sorted(_closure(roots | _lists(definitions, registry), definitions))
    return {
        "swagger": "2.0",
        "info": INFO,
        "paths": {
            path.path: paths.v2_item(path, reference)
            for resource in _ordered(registry)
            for path in paths.of_resource(resource)
            if path.operations
        },
        "definitions": {name: _refer(definitions[name], _v2_reference) for name in names},
        "parameters": paths.v2_parameters(),
    }


def v3(registry: Registry, group: str, version: str, definitions: Definitions) -> Json:
    def reference(name: str) -> Json:
        return {"$ref": f"#/components/schemas/{name}"}

    served = registry.of_group_version(group, version)
    operations = [path for resource in served for path in paths.of_resource(resource) if path.operations]
    roots = {name for path in operations for op in path.operations for name in (op.reply, op.body) if name}
    names = sorted(_closure(roots | {r.definition for r in served}, definitions))
    schemas = {name: _refer(definitions[name], _v3_reference) for name in names}
    for name, union in _UNIONS.items():
        if name in schemas:
            schemas[name] = {k: v for k, v in schemas[name].items() if k != "type"} | {"oneOf": union}
    return {
        "openapi": "3.0.0",
        "info": INFO,
        "paths": {path.path: paths.v3_item(path, reference) for path in operations},
        "components": {"schemas": schemas, "parameters": paths.v3_parameters()},
    }


def _ordered(registry: Registry) -> Iterator[Any]:
    for group in ["", *registry.groups()]:
        for version in registry.versions(group):
            yield from registry.of_group_version(group, version)


def _lists(definitions: Definitions, registry: Registry) -> set[str]:
    kinds = {(r.group, r.version, r.list_kind) for r in registry if r.list_kind}
    return {
        name
        for name, schema in definitions.items()
        for gvk in schema.get("x-kubernetes-group-version-kind", ())
        if (gvk["group"], gvk["version"], gvk["kind"]) in kinds
    }


def _operation_roots(registry: Registry) -> set[str]:
    return {
        name
        for resource in registry
        for path in paths.of_resource(resource)
        for op in path.operations
        for name in (op.reply, op.body)
        if name
    }


def _closure(roots: Iterable[str], definitions: Definitions) -> set[str]:
    found: set[str] = set()
    pending = list(roots)
    while pending:
        name = pending.pop()
        if name not in found and name in definitions:
            found.add(name)
            pending += _references(definitions[name])
    return found


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for item in schema:
            yield from _references(item)
    elif isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for item in schema.values():
            yield from _references(item)


def _v2_reference(schema: Json, name: str) -> Json:
    return schema | {"$ref": f"#/definitions/{name}"}


def _v3_reference(schema: Json, name: str) -> Json:
    """v3 ignores what stands beside a reference, so that a description needs `allOf`."""
    reference = {"$ref": f"#/components/schemas/{name}"}
    if not schema:
        return reference
    default: Json = {} if name in _UNIONS else {"default": {}}
    return schema | {"allOf": [reference]} | default


def _refer(schema: Any, refer: Callable[[Json, str], Json]) -> Any:
    if isinstance(schema, list):
        return [_refer(item, refer) for item in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {k: _refer(v, refer) for k, v in schema.items() if k != "$ref" or not isinstance(v, str)}
    name = schema.get("$ref")
    return refer(changed, name) if isinstance(name, str) else changed
