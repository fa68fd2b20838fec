"""What is asked by GET: version, health and metrics, under etcd's paths and names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import orjson

from store.api.http1 import Response
from store.api.metrics import Metrics
from store.api.service import VERSION, StoreService
from store.mvcc.errors import RequestError
from store.mvcc.messages import RangeRequest

Probe = Callable[[], Awaitable[Response]]

HEALTH_KEY = b"health"


class Probes:
    def __init__(self, service: StoreService, metrics: Metrics) -> None:
        self._service = service
        self._metrics = metrics
        self._probes: dict[bytes, Probe] = {
            b"/version": self._version,
            b"/health": self._health,
            b"/livez": self._live,
            b"/healthz": self._live,
            b"/readyz": self._ready,
            b"/metrics": self._show_metrics,
        }

    def find(self, path: bytes) -> Probe | None:
        return self._probes.get(path)

    async def _version(self) -> Response:
        body = {"etcdserver": VERSION, "etcdcluster": VERSION, "storage": VERSION}
        return Response(200, orjson.dumps(body))

    async def _health(self) -> Response:
        """etcd's /health: false under an alarm, without a leader, or when a read finds no quorum."""
        reason = await self._unhealthy()
        body = {"health": "true" if not reason else "false", "reason": reason}
        return Response(200 if not reason else 503, orjson.dumps(body))

    async def _unhealthy(self) -> str:
        if self._service.machine.alarms:
            return "ALARM " + ",".join(sorted({kind for _, kind in self._service.machine.alarms}))
        return await self._unreadable()

    async def _unreadable(self) -> str:
        try:
            self._service.require_leader()
            await self._service.as_member().range(RangeRequest(HEALTH_KEY, count_only=True))
        except RequestError as error:
            return f"RANGE ERROR:{error}"
        return ""

    async def _live(self) -> Response:
        return Response(200, b"ok\n", "text/plain")

    async def _ready(self) -> Response:
        """Ready: a linearizable read is answered. An alarm does not take reads away."""
        reason = await self._unreadable()
        return Response(503, f"{reason}\n".encode(), "text/plain") if reason else await self._live()

    async def _show_metrics(self) -> Response:
        return Response(200, self._metrics.render(), "text/plain; version=0.0.4; charset=utf-8")
