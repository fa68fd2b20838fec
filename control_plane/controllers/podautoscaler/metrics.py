"""One metric of an autoscaler's spec: what it proposes, and how it is shown in the status."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from control_plane.api import meta, quantity
from control_plane.api.meta import Object
from control_plane.controllers import pods as podlib
from control_plane.controllers.podautoscaler import replicas
from control_plane.controllers.podautoscaler.replicas import Proposal, Tolerances
from control_plane.controllers.podautoscaler.samples import MetricError
from control_plane.controllers.podautoscaler.sources import MetricSources


@dataclass(frozen=True, slots=True)
class Target:
    """What is scaled."""

    namespace: str
    current: int  # replicas asked for
    shown: int  # replicas there are
    selector: str
    pods: Sequence[Object]
    tolerances: Tolerances
    now: float

    @property
    def ready(self) -> int:
        return sum(podlib.is_ready(pod) and podlib.is_active(pod) for pod in self.pods)


@dataclass(frozen=True, slots=True)
class Found:
    replicas: int
    name: str  # as the condition says it
    status: Object


Resolve = Callable[[str, str], Awaitable[str]]  # apiVersion, kind -> resource.group


async def evaluate(metric: Object, target: Target, sources: MetricSources, resolve: Resolve) -> Found:
    """Raises MetricError."""
    match metric["type"]:
        case "Resource":
            return await _resource(metric["resource"], "", target, sources)
        case "ContainerResource":
            source = metric["containerResource"]
            return await _resource(source, source["container"], target, sources)
        case "Pods":
            return await _pods(metric["pods"], target, sources)
        case "Object":
            return await _object(metric["object"], target, sources, resolve)
        case "External":
            return await _external(metric["external"], target, sources)
    raise MetricError("InvalidMetricSourceType", f'unknown metric source type "{metric["type"]}"')


def _milli(text: str) -> int:
    return max(quantity.parse(text).milli_value(), 1)


def _text(milli: int) -> str:
    return str(quantity.from_milli(milli))


async def _resource(source: Object, container: str, target: Target, sources: MetricSources) -> Found:
    name, wanted = source["name"], source["target"]
    samples = await sources.resource(target.namespace, target.selector, name, container)
    common = (target.pods, samples, name)
    if wanted.get("averageUtilization") is not None:
        percent = int(wanted["averageUtilization"])
        found = replicas.by_utilization(
            target.current, percent, *common, container, target.tolerances, target.now
        )
        shown = f"{name} resource utilization (percentage of request)"
    else:
        value = _milli(wanted["averageValue"])
        found = replicas.by_average(target.current, value, *common, target.tolerances, target.now)
        shown = f"{name} resource"
    current: Object = {"averageValue": _text(found.average_milli)}
    if found.utilization is not None:
        current["averageUtilization"] = found.utilization
    if container:
        status = {"name": name, "container": container, "current": current}
        text = shown.replace(" resource", " container resource", 1)
        return Found(found.replicas, text, {"type": "ContainerResource", "containerResource": status})
    return Found(found.replicas, shown, {"type": "Resource", "resource": {"name": name, "current": current}})


async def _pods(source: Object, target: Target, sources: MetricSources) -> Found:
    samples = await sources.pods(target.namespace, target.selector, source["metric"])
    value = _milli(source["target"]["averageValue"])
    found = replicas.by_average(
        target.current, value, target.pods, samples, "", target.tolerances, target.now
    )
    status = {"metric": source["metric"], "current": {"averageValue": _text(found.average_milli)}}
    return Found(found.replicas, f"pods metric {source['metric']['name']}", {"type": "Pods", "pods": status})


async def _object(source: Object, target: Target, sources: MetricSources, resolve: Resolve) -> Found:
    described = source["describedObject"]
    resource = await resolve(described.get("apiVersion", "v1"), described["kind"])
    measured = await sources.object(target.namespace, resource, described["name"], source["metric"])
    found, current = _whole(source["target"], measured, target)
    status = {"metric": source["metric"], "describedObject": described, "current": current}
    name = f"{described['kind']} metric {source['metric']['name']}"
    return Found(found.replicas, name, {"type": "Object", "object": status})


async def _external(source: Object, target: Target, sources: MetricSources) -> Found:
    metric = source["metric"]
    found, current = _whole(source["target"], await sources.external(target.namespace, metric), target)
    name = f"external metric {metric['name']}({meta.nested(metric, 'selector', default={})})"
    return Found(
        found.replicas, name, {"type": "External", "external": {"metric": metric, "current": current}}
    )


def _whole(wanted: Object, measured: int, target: Target) -> tuple[Proposal, Object]:
    if wanted.get("averageValue") is not None:
        found = replicas.by_share(target.shown, measured, _milli(wanted["averageValue"]), target.tolerances)
        return found, {"averageValue": _text(found.average_milli)}
    value = _milli(wanted["value"])
    found = replicas.by_value(target.current, target.ready, measured, value, target.tolerances)
    return found, {"value": _text(measured)}
