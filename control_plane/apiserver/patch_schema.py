"""The patch metadata of a kind, read from its schema nodes, in the shape that strategic merge asks for."""

from __future__ import annotations

from functools import lru_cache

from control_plane.api import schema
from control_plane.api.registry import Resource
from control_plane.api.schema import Node
from control_plane.apiserver.patch.meta import RETAIN_KEYS, FieldMeta

GVK = tuple[str, str, str]


class NodeSchema:
    __slots__ = ("_node",)

    def __init__(self, node: Node) -> None:
        self._node = node

    def field(self, name: str) -> FieldMeta | None:
        child = self._node.child(name)
        if child is None:
            return None
        strategy = next((each for each in child.patch_strategy if each != RETAIN_KEYS), "")
        inner = child
        while inner.type is schema.Type.ARRAY and inner.element is not None:
            inner = inner.element
        return FieldMeta(strategy, child.patch_merge_key, NodeSchema(inner))


@lru_cache(maxsize=512)
def of_kind(gvk: GVK) -> NodeSchema | None:
    """None for a kind without a built-in schema: a custom resource takes no strategic merge patch."""
    node = schema.lookup(*gvk)
    return NodeSchema(node) if node is not None else None


def node_of(resource: Resource) -> Node | None:
    """How lists and maps of the kind merge in a server-side apply."""
    return resource.custom_kind.node if resource.custom_kind is not None else schema.lookup(*resource.gvk)


def of_resource(resource: Resource) -> NodeSchema | None:
    return None if resource.custom else of_kind(resource.gvk)
