"""Tables, as `kubectl get` asks for them: columns and cells from `control_plane.api.tables`, in their envelope."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from control_plane.api.registry import Resource
from control_plane.api.tables import columns, row

Object = dict[str, Any]


def table(
    resource: Resource, items: Sequence[Object], metadata: Object, version: str, include: str, now_s: float
) -> Object:
    """A Table of `items` (in the version of `resource`). `include` is the request's `includeObject`."""
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": metadata,
        "columnDefinitions": columns(resource),
        "rows": [_row(resource, item, version, include, now_s) for item in items],
    }


def _row(resource: Resource, item: Object, version: str, include: str, now_s: float) -> Object:
    cells = row(resource, item, now_s)
    made: Object = {"cells": cells.cells}
    if cells.conditions:
        made["conditions"] = cells.conditions
    if include == "Object":
        made["object"] = item
    elif include == "Metadata":
        made["object"] = partial(item, version)
    return made


def partial(obj: Object, version: str) -> Object:
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": obj["metadata"],
    }
