"""Asks the metrics APIs: metrics.k8s.io for CPU and memory; custom.metrics.k8s.io and external.metrics.k8s.io,
which adapters serve through aggregation."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson

from control_plane.api import meta, quantity, selectors
from control_plane.api.errors import StatusError
from control_plane.api.meta import Object
from control_plane.client.client import Client
from control_plane.controllers.cronjob.schedule import parse_duration_s
from control_plane.controllers.podautoscaler.samples import MetricError, Sample

RESOURCE = "/apis/metrics.k8s.io/v1beta1"
CUSTOM = "/apis/custom.metrics.k8s.io/v1beta2"
EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1"


class MetricSources:
    def __init__(self, client: Client) -> None:
        self._client = client

    async def resource(
        self, namespace: str, selector: str, resource: str, container: str
    ) -> dict[str, Sample]:
        """By pod. Raises MetricError."""
        reason = "FailedGetContainerResourceMetric" if container else "FailedGetResourceMetric"
        path = f"{RESOURCE}/namespaces/{quote(namespace)}/pods"
        items = await self._items(path, {"labelSelector": selector}, reason, "resource metrics API")
        found = {}
        for pod in items:
            used = [
                quantity.parse(each["usage"][resource]).milli_value()
                for each in pod.get("containers") or ()
                if resource in each["usage"] and container in ("", each["name"])
            ]
            if used:
                found[meta.name_of(pod)] = _sample(pod, sum(used))
        if not found:
            raise MetricError(reason, f"no metrics returned from resource metrics API for {resource}")
        return found

    async def pods(self, namespace: str, selector: str, metric: Object) -> dict[str, Sample]:
        path = f"{CUSTOM}/namespaces/{quote(namespace)}/pods/*/{quote(metric['name'])}"
        query = {"labelSelector": selector, "metricLabelSelector": _selector(metric)}
        items = await self._items(path, query, "FailedGetPodsMetric", "custom metrics API")
        found = {each["describedObject"]["name"]: _sample(each, _milli(each)) for each in items}
        if not found:
            raise MetricError("FailedGetPodsMetric", "no metrics returned from custom metrics API")
        return found

    async def object(self, namespace: str, resource: str, name: str, metric: Object) -> int:
        """`resource`: plural and group, services or ingresses.networking.k8s.io."""
        path = f"{CUSTOM}/namespaces/{quote(namespace)}/{resource}/{quote(name)}/{quote(metric['name'])}"
        query = {"metricLabelSelector": _selector(metric)}
        items = await self._items(path, query, "FailedGetObjectMetric", "custom metrics API")
        if not items:
            raise MetricError("FailedGetObjectMetric", "no metrics returned from custom metrics API")
        return _milli(items[0])

    async def external(self, namespace: str, metric: Object) -> int:
        path = f"{EXTERNAL}/namespaces/{quote(namespace)}/{quote(metric['name'])}"
        query = {"labelSelector": _selector(metric)}
        items = await self._items(path, query, "FailedGetExternalMetric", "external metrics API")
        if not items:
            raise MetricError("FailedGetExternalMetric", "no metrics returned from external metrics API")
        return sum(_milli(each) for each in items)

    async def _items(self, path: str, query: dict[str, str], reason: str, what: str) -> list[dict[str, Any]]:
        try:
            answer = await self._client.request("GET", path, query)
        except StatusError as error:
            raise MetricError(reason, f"unable to fetch metrics from {what}: {error.message}") from error
        items: list[dict[str, Any]] = orjson.loads(answer.body).get("items") or []
        return items


def _selector(metric: Object) -> str:
    return selectors.format_label_selector(metric["selector"]) if metric.get("selector") else ""


def _milli(item: Object) -> int:
    return quantity.parse(item["value"]).milli_value()


def _sample(item: Object, milli: int) -> Sample:
    at = meta.parse_time(item.get("timestamp")) or 0.0
    window = item.get("window") or item.get("windowSeconds")
    try:
        window_s = parse_duration_s(window) if isinstance(window, str) else float(window or 60.0)
    except ValueError:
        window_s = 60.0
    return Sample(milli, at, window_s)
