"""The kubelet API: what the apiserver, and those it lets through, ask of a node. HTTPS with client certificates.

    /healthz  /metrics  /metrics/resource  /pods  /stats/summary
    /containerLogs/{namespace}/{pod}/{container}
    /exec  /attach  /portForward            see streaming/

A caller must show a certificate of the cluster's CA; all but /healthz is for group system:masters and for the
apiserver's own kubelet client.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from control_plane.client.clock import Clock
from node.agent import log_reader, log_request, stats
from node.agent.errors import LogError
from node.agent.log_request import LogOptions
from node.agent.manager import PodManager
from node.agent.parts import Parts
from node.agent.pod_spec import find_container
from node.agent.streaming.server import StreamingServer
from node.network.interface import Network
from node.runtime.interface import ContainerState, ContainerStatus, NotFound

ADMIN_GROUP = "system:masters"
API_CLIENT = "kube-apiserver-kubelet-client"
CLOSE_TIMEOUT_S = 1.0

Check = Callable[[], str | None]


class KubeletServer:
    def __init__(
        self,
        node_name: str,
        parts: Parts,
        manager: PodManager,
        network: Network,
        clock: Clock,
        healthy: Check,
    ) -> None:
        self._node_name = node_name
        self._parts = parts
        self._manager = manager
        self._network = network
        self._clock = clock
        self._healthy = healthy
        self._rates = stats.Rates()
        self._runner: web.AppRunner | None = None

    async def start(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        app = web.Application(middlewares=[_authorize])
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/healthz/{name}", self._healthz)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/metrics/resource", self._resource_metrics)
        app.router.add_get("/pods", self._pods)
        app.router.add_get("/stats/summary", self._summary)
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        StreamingServer(self._manager, self._parts.runtime, self._network).add_to(app)
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=CLOSE_TIMEOUT_S
        )
        await self._runner.setup()
        site = web.SockSite(self._runner, sock, ssl_context=context)
        await site.start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    # ---- health and metrics

    async def _healthz(self, request: web.Request) -> web.Response:
        why = self._healthy()
        return web.Response(
            text="ok" if why is None else f"[-]node failed: {why}\n", status=500 if why else 200
        )

    async def _metrics(self, request: web.Request) -> web.Response:
        pods = [each for each in self._manager.pods() if (each.get("status") or {}).get("phase") == "Running"]
        containers = await self._parts.runtime.list_containers()
        running = sum(each.state is ContainerState.RUNNING for each in containers)
        own = (
            "# HELP kubelet_running_pods Number of pods that have a running pod sandbox\n"
            "# TYPE kubelet_running_pods gauge\n"
            f"kubelet_running_pods {len(pods)}\n"
            "# HELP kubelet_running_containers Number of containers currently running\n"
            "# TYPE kubelet_running_containers gauge\n"
            f'kubelet_running_containers{{container_state="running"}} {running}\n'
            "# HELP kubelet_node_name The node's name. The count is always 1.\n"
            "# TYPE kubelet_node_name gauge\n"
            f'kubelet_node_name{{node="{self._node_name}"}} 1\n'
        )
        body = own.encode() + generate_latest(REGISTRY)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _resource_metrics(self, request: web.Request) -> web.Response:
        """What metrics-server reads."""
        text = _resource_text(await self._measured())
        return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _summary(self, request: web.Request) -> web.Response:
        return _json(await self._measured())

    async def _measured(self) -> dict[str, Any]:
        pods = []
        for pod in self._manager.pods():
            worker = self._manager.worker(pod["metadata"]["namespace"], pod["metadata"]["name"])
            if worker is not None:
                pods.append((pod, worker.containers))
        return stats.summary(self._node_name, pods, self._rates, self._clock.wall())

    async def _pods(self, request: web.Request) -> web.Response:
        items = [{**pod, "status": self._parts.status.current(pod)} for pod in self._manager.pods()]
        return _json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})

    # ---- logs

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        names = request.match_info
        worker = self._manager.worker(names["namespace"], names["pod"])
        if worker is None:
            return web.Response(status=404, text=f'pod "{names["pod"]}" not found\n')
        if find_container(worker.pod, names["container"]) is None:
            text = f'container "{names["container"]}" not found in pod "{names["pod"]}"\n'
            return web.Response(status=404, text=text)
        try:
            options = LogOptions.parse(request.query, self._clock.wall())
            status = await self._log_of(worker.pod, names["container"], options.previous)
            return await self._stream(request, status, options)
        except LogError as error:
            return web.Response(status=400, text=str(error))

    async def _log_of(self, pod: dict[str, Any], container: str, previous: bool) -> ContainerStatus:
        status = self._parts.status.current(pod)
        container_id = log_request.container_id(status, pod["metadata"]["name"], container, previous)
        try:
            return await self._parts.runtime.container_status(container_id)
        except NotFound as error:
            raise LogError(f"unable to retrieve container logs for {container_id}") from error

    async def _stream(
        self, request: web.Request, status: ContainerStatus, options: LogOptions
    ) -> web.StreamResponse:
        if not Path(status.log_path).exists():
            raise LogError(f"unable to retrieve container logs for {status.id}")

        async def is_running() -> bool:
            try:
                now = await self._parts.runtime.container_status(status.id)
            except NotFound:
                return False
            return now.state is ContainerState.RUNNING

        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        async for piece in log_reader.read(Path(status.log_path), options, is_running):
            await response.write(piece)
        await response.write_eof()
        return response


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def _authorize(request: web.Request, handler: Handler) -> web.StreamResponse:
    name, groups = _caller(request)
    if request.path.startswith("/healthz") or ADMIN_GROUP in groups or name == API_CLIENT:
        return await handler(request)
    verb = {"GET": "get", "POST": "create"}.get(request.method, request.method.lower())
    text = f"Forbidden (user={name}, verb={verb}, resource=nodes, subresource=proxy)\n"
    return web.Response(status=403, text=text)


def _caller(request: web.Request) -> tuple[str, list[str]]:
    """Common name and organizations of the client's certificate; the handshake has checked its signature."""
    certificate = request.get_extra_info("peercert") or {}
    subject = [pair for part in certificate.get("subject", ()) for pair in part]
    names = [value for key, value in subject if key == "commonName"]
    return (names[0] if names else ""), [value for key, value in subject if key == "organizationName"]


def _json(body: Any) -> web.Response:
    return web.Response(body=orjson.dumps(body), content_type="application/json")


def _resource_text(summary: dict[str, Any]) -> str:
    """kubelet's /metrics/resource, in the text format of Prometheus."""
    lines = [
        "# TYPE container_cpu_usage_seconds_total counter",
        "# TYPE container_memory_working_set_bytes gauge",
    ]
    for pod in summary["pods"]:
        ref = pod["podRef"]
        where = f'namespace="{ref["namespace"]}",pod="{ref["name"]}"'
        for each in pod["containers"]:
            labels = f'{{container="{each["name"]}",{where}}}'
            seconds = each["cpu"]["usageCoreNanoSeconds"] / stats.NS
            lines.append(f"container_cpu_usage_seconds_total{labels} {seconds}")
            lines.append(f"container_memory_working_set_bytes{labels} {each['memory']['workingSetBytes']}")
        lines.append(
            f"pod_cpu_usage_seconds_total{{{where}}} {pod['cpu']['usageCoreNanoSeconds'] / stats.NS}"
        )
        lines.append(f"pod_memory_working_set_bytes{{{where}}} {pod['memory']['workingSetBytes']}")
    node = summary["node"]
    lines.append(f"node_cpu_usage_seconds_total {node['cpu']['usageCoreNanoSeconds'] / stats.NS}")
    lines.append(f"node_memory_working_set_bytes {node['memory']['workingSetBytes']}")
    return "\n".join(lines) + "\n"
