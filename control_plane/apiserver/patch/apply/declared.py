"""What an applied configuration names and its schema does not know: always an error, in the words of
structured-merge-diff."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from control_plane.api.schema import Node
from control_plane.apiserver.patch.apply.fields import child, element_key, is_atomic, show
from control_plane.apiserver.patch.errors import MalformedPatch

Object = dict[str, Any]

_STEP = re.compile(r"\[(\d+)\]|\.?([^.\[]+)")
_NOT_DECLARED = "field not declared in schema"


def message(config: Object, node: Node | None, unknown: Iterable[str], namespace: str) -> str:
    """`unknown` are paths as decoding reports them (`spec.ports[0].foo`)."""
    metadata = config.get("metadata", {})
    name = f"{namespace}/{metadata.get('name', '')}" if namespace else f"/{metadata.get('name', '')}"
    lines = [f"{_shown(config, node, path)}: {_NOT_DECLARED}" for path in unknown]
    told = lines[0] if len(lines) == 1 else "errors:" + "".join(f"\n  {line}" for line in lines)
    version, kind = config.get("apiVersion", ""), config.get("kind", "")
    return f"failed to create typed patch object ({name}; {version}, Kind={kind}): {told}"


def _shown(value: Any, node: Node | None, path: str) -> str:
    """The path with its elements named by their keys."""
    shown: list[str] = []
    for index, name in _STEP.findall(path):
        if name:
            shown.append(show((f"f:{name}",)))
            value = value.get(name) if isinstance(value, dict) else None
            node = child(node, name)
        else:
            value = value[int(index)] if isinstance(value, list) and int(index) < len(value) else None
            shown.append(_element(value, node, index))
            node = node.element if node is not None else None
    return "".join(shown)


def _element(element: Any, node: Node | None, index: str) -> str:
    if node is None or is_atomic(node, [element]):
        return f"[{index}]"
    try:
        return show((element_key(element, node),))
    except MalformedPatch:
        return f"[{index}]"
