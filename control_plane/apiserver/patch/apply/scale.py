"""Server-side apply of a Scale: the replicas of the object it stands for have managers, and the Scale shows them as
its own.

The pure counterpart of kube-apiserver's ScaleHandler: whoever manages the replicas of the object manages those of
the Scale; who applies them there manages them on the object, through the subresource `scale`.
"""

from __future__ import annotations

from typing import Any

from control_plane.apiserver.patch.apply import trees
from control_plane.apiserver.patch.apply.trees import Tree

Object = dict[str, Any]
Entries = list[Object]
Key = tuple[str, str, str]

API_VERSION = "autoscaling/v1"
REPLICAS: Tree = {"f:spec": {"f:replicas": {}}}
SUBRESOURCE = "scale"


def shown(entries: Entries, replicas: Tree) -> Entries:
    """The managedFields of the Scale; `replicas` is where the object has them."""
    return [
        {**entry, "apiVersion": API_VERSION, "fieldsV1": REPLICAS}
        for entry in entries
        if trees.holds(entry.get("fieldsV1") or {}, replicas)
    ]


def carried_over(entries: Entries, scale_entries: Entries, replicas: Tree, api_version: str) -> Entries:
    """The managedFields of the object after the Scale has been applied."""
    owners = {_key(each): each for each in scale_entries if trees.holds(each["fieldsV1"], REPLICAS)}
    found: Entries = []
    for entry in entries:
        fields = entry.get("fieldsV1") or {}
        if trees.holds(fields, replicas) and owners.pop(_key(entry), None) is None:
            left = trees.cut(fields, replicas)
            if left is None:
                continue
            entry = {**entry, "fieldsV1": left}
        found.append(entry)
    return [*found, *({**each, "apiVersion": api_version, "fieldsV1": replicas} for each in owners.values())]


def _key(entry: Object) -> Key:
    return entry.get("manager", ""), entry.get("operation", ""), entry.get("subresource", "")
