"""metrics.k8s.io/v1beta1, built in: what `kubectl top` and the horizontal pod autoscaler ask for.

Nothing is stored: each answer is made from what the node agents say (see `node_usage`). Who installs metrics-server
takes the group over with its APIService, as with any other aggregated group.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from control_plane.api import errors, meta, selectors
from control_plane.api.registry import Resource
from control_plane.apiserver.core import Context
from control_plane.apiserver.handlers import respond
from control_plane.apiserver.messages import Response
from control_plane.apiserver.node_usage import NodeUsage, PodUsage, Usage
from control_plane.apiserver.storage import keys

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
API_VERSION = f"{GROUP}/{VERSION}"

Object = dict[str, Any]
Handler = Callable[[Context], Awaitable[Response]]


def _resource(plural: str, kind: str, namespaced: bool) -> Resource:
    return Resource(
        group=GROUP,
        version=VERSION,
        resource=plural,
        kind=kind,
        singular="",
        namespaced=namespaced,
        verbs=("get", "list"),
        list_kind=f"{kind}List",
        storage_group=GROUP,
        storage_version=VERSION,
    )


RESOURCES = (_resource("nodes", "NodeMetrics", False), _resource("pods", "PodMetrics", True))


def handler(resource: Resource) -> Handler | None:
    if resource.group != GROUP:
        return None
    return _nodes if resource.resource == "nodes" else _pods


async def _nodes(ctx: Context) -> Response:
    nodes = _selected(ctx, ctx.core.feed.cache("", "nodes").objects(keys.item_prefix("")))
    if ctx.info.name and not nodes:
        raise errors.not_found(GROUP, "nodes", ctx.info.name)
    usages = await _usages(ctx, nodes)
    shown = [
        node_metrics(node, usages[meta.name_of(node)], _wall_offset_s(ctx))
        for node in nodes
        if meta.name_of(node) in usages
    ]
    return _answer(ctx, shown)


async def _pods(ctx: Context) -> Response:
    pods = _selected(ctx, ctx.core.feed.cache("", "pods").objects(keys.item_prefix(ctx.info.namespace)))
    if ctx.info.name and not pods:
        raise errors.not_found(GROUP, "pods", ctx.info.name)
    names = {meta.nested(pod, "spec", "nodeName", default="") for pod in pods}
    nodes = ctx.core.feed.cache("", "nodes").objects(keys.item_prefix(""))
    usages = await _usages(ctx, [node for node in nodes if meta.name_of(node) in names])
    found = {(pod.namespace, pod.name): (pod, usage) for usage in usages.values() for pod in usage.pods}
    offset_s = _wall_offset_s(ctx)
    shown = [
        pod_metrics(pod, *found[key], offset_s)
        for pod in pods
        if (key := (meta.namespace_of(pod), meta.name_of(pod))) in found
    ]
    return _answer(ctx, shown)


def _selected(ctx: Context, objects: Iterable[Object]) -> list[Object]:
    if ctx.info.verb == "get":
        return [each for each in objects if meta.name_of(each) == ctx.info.name]
    try:
        labels = selectors.parse_labels(ctx.request.first("labelSelector"))
        fields = selectors.parse_fields(ctx.request.first("fieldSelector"))
    except selectors.SelectorError as error:
        raise errors.bad_request(str(error)) from error
    return [
        each
        for each in objects
        if labels.matches(meta.labels(each))
        and fields.matches(
            {"metadata.name": meta.name_of(each), "metadata.namespace": meta.namespace_of(each)}
        )
    ]


async def _usages(ctx: Context, nodes: list[Object]) -> dict[str, NodeUsage]:
    core = ctx.core
    core.usages.keep(
        {meta.name_of(each) for each in core.feed.cache("", "nodes").objects(keys.item_prefix(""))}
    )
    return await core.usages.of(nodes, core.kubelet)


def _wall_offset_s(ctx: Context) -> float:
    return ctx.core.clock() - asyncio.get_running_loop().time()


def _answer(ctx: Context, shown: list[Object]) -> Response:
    if ctx.info.verb == "get":
        if not shown:
            raise errors.not_found(GROUP, ctx.resource.resource, ctx.info.name)
        return respond.plain_object(ctx, shown[0])
    kind = f"{ctx.resource.kind}List"
    document = {"kind": kind, "apiVersion": API_VERSION, "metadata": {}, "items": shown}
    return respond.plain_object(ctx, document)


def node_metrics(node: Object, usage: NodeUsage, offset_s: float) -> Object:
    """`offset_s`: from the loop's time, which readings have, to wall time."""
    return {**_head("NodeMetrics", node, usage, offset_s), "usage": _shown(usage.node)}


def pod_metrics(pod: Object, usage: PodUsage, node: NodeUsage, offset_s: float) -> Object:
    containers = [{"name": name, "usage": _shown(each)} for name, each in sorted(usage.containers.items())]
    return {**_head("PodMetrics", pod, node, offset_s), "containers": containers}


def _head(kind: str, obj: Object, usage: NodeUsage, offset_s: float) -> Object:
    metadata: Object = {"name": meta.name_of(obj), "creationTimestamp": meta.rfc3339(usage.at_s + offset_s)}
    if namespace := meta.namespace_of(obj):
        metadata["namespace"] = namespace
    if labels := meta.labels(obj):
        metadata["labels"] = dict(labels)
    return {
        "kind": kind,
        "apiVersion": API_VERSION,
        "metadata": metadata,
        "timestamp": meta.rfc3339(usage.at_s + offset_s),
        "window": f"{usage.window_s:.3f}s",
    }


def _shown(usage: Usage) -> Mapping[str, str]:
    return {"cpu": f"{usage.nano_cores}n", "memory": f"{usage.memory_bytes // 1024}Ki"}
