"""Merge patches and, as far as they are needed, strategic ones."""

from __future__ import annotations

from typing import Any

from control_plane.client.types import Obj

DELETE_FROM_LIST = "$deleteFromPrimitiveList/"
MERGE_KEYS = {
    "conditions": "type",
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "ports": "containerPort",
    "volumes": "name",
    "ownerReferences": "uid",
    "taints": "key",
    "addresses": "type",
    "podIPs": "ip",
}


def merge(old: Any, patch: Any, strategic: bool, key: str = "") -> Any:
    if isinstance(patch, dict) and patch.get("$patch") == "replace":
        return {k: v for k, v in patch.items() if k != "$patch"}
    if isinstance(patch, dict):
        merged = dict(old) if isinstance(old, dict) else {}
        for field_name, value in patch.items():
            if strategic and field_name.startswith(DELETE_FROM_LIST):
                name = field_name.removeprefix(DELETE_FROM_LIST)
                merged[name] = [each for each in merged.get(name) or () if each not in value]
            elif value is None:
                merged.pop(field_name, None)
            else:
                merged[field_name] = merge(merged.get(field_name), value, strategic, field_name)
        return merged
    if strategic and isinstance(patch, list) and key in MERGE_KEYS and isinstance(old, list):
        return _merge_lists(old, patch, MERGE_KEYS[key])
    return patch


def _merge_lists(old: list[Obj], patch: list[Obj], merge_key: str) -> list[Obj]:
    merged = {item[merge_key]: item for item in old}
    for item in patch:
        name = item[merge_key]
        if item.get("$patch") == "delete":
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), item, strategic=True)
    return list(merged.values())
