"""The schemas of the Kubernetes API for the patch tests, and a small one of their own."""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any

from control_plane.apiserver.patch import OpenAPIPatchSchema


@functools.cache
def definitions() -> dict[str, Any]:
    path = resources.files("kubernetes_validate") / "kubernetes-json-schema/v1.36.0-local/_definitions.json"
    loaded: dict[str, Any] = json.loads(path.read_text())["$defs"]
    return loaded


def kubernetes(name: str) -> OpenAPIPatchSchema:
    return OpenAPIPatchSchema(definitions()[f"io.k8s.api.{name}"], definitions())


def _list(items: Any, **extensions: str) -> dict[str, Any]:
    named = {f"x-kubernetes-patch-{key.replace('_', '-')}": value for key, value in extensions.items()}
    return {"type": "array", "items": items, **named}


_ITEM = {"$ref": "#/definitions/Item"}
_PRIMITIVE = {"type": "string"}
_DEFINITIONS: dict[str, Any] = {
    "Item": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "value": {"type": "string"},
            "keyed": _list(_ITEM, strategy="merge", merge_key="name"),
            "unkeyed": _list(_ITEM, strategy="merge"),
            "atomic": _list(_ITEM),
            "set": _list(_PRIMITIVE, strategy="merge"),
            "values": _list(_PRIMITIVE),
            "map": {"type": "object", "additionalProperties": _PRIMITIVE},
            "child": _ITEM,
            "replaced": {**_ITEM, "x-kubernetes-patch-strategy": "replace"},
            "union": {**_ITEM, "x-kubernetes-patch-strategy": "retainKeys"},
            "unions": _list(_ITEM, strategy="merge,retainKeys", merge_key="name"),
        },
    }
}
ITEM = OpenAPIPatchSchema(_DEFINITIONS["Item"], _DEFINITIONS)
