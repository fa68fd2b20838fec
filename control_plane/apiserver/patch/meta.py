"""What strategic merge must know of a field: how its value is patched and which schema governs its inside.

The API's schemas carry it as `x-kubernetes-patch-strategy` (merge, replace, retainKeys, or two of them) and
`x-kubernetes-patch-merge-key`. A list's metadata stands on the field, its elements' schema below it. A
composite key in `x-kubernetes-list-map-keys` (Service ports: port and protocol) is for server-side apply
only: strategic merge knows one key per list, as it does in Kubernetes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

MERGE = "merge"
REPLACE = "replace"
RETAIN_KEYS = "retainKeys"


@dataclass(frozen=True, slots=True)
class FieldMeta:
    strategy: str = ""  # "merge", "replace" or "" (maps merge, lists are replaced)
    merge_key: str = ""  # "" for lists of primitives
    schema: PatchSchema | None = None  # of the value, or of the elements of a list; None when unknown


class PatchSchema(Protocol):
    """An object's schema as far as patching is concerned."""

    def field(self, name: str) -> FieldMeta | None:
        """How the field is patched; None if there is no such field."""


class OpenAPIPatchSchema:
    """Reads patch metadata from an OpenAPI object schema; references are resolved by their last path
    element."""

    __slots__ = ("_definitions", "_fields", "_schema")

    def __init__(self, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> None:
        self._schema = schema
        self._definitions = definitions
        self._fields: dict[str, FieldMeta | None] = {}

    def field(self, name: str) -> FieldMeta | None:
        if name not in self._fields:
            meta = self._read(name)
            if name not in self._schema.get("properties", {}):
                return meta  # keys of a free-form map are unbounded: never kept
            self._fields[name] = meta
        return self._fields[name]

    def _read(self, name: str) -> FieldMeta | None:
        declared = self._schema.get("properties", {}).get(name)
        if declared is None:
            declared = self._schema.get("additionalProperties")
        if not isinstance(declared, Mapping):
            return None
        strategies = [s for s in declared.get("x-kubernetes-patch-strategy", "").split(",") if s]
        strategy = next((s for s in strategies if s != RETAIN_KEYS), "")
        inner = self._resolve(declared)
        if isinstance(inner.get("items"), Mapping):
            inner = self._resolve(inner["items"])
        schema = OpenAPIPatchSchema(inner, self._definitions)
        return FieldMeta(strategy, declared.get("x-kubernetes-patch-merge-key", ""), schema)

    def _resolve(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        if schema.get("allOf"):
            schema = schema["allOf"][0]
        reference = schema.get("$ref")
        if isinstance(reference, str):
            resolved: Mapping[str, Any] = self._definitions[reference.rsplit("/", 1)[-1]]
            return resolved
        return schema
