"""The endpoints: which container is meant, whether it runs, and which protocol is spoken.

    /exec/{namespace}/{pod}[/{uid}]/{container}?command=&input=1&output=1&error=1&tty=1
    /attach/{namespace}/{pod}[/{uid}]/{container}?input=1&...
    /portForward/{namespace}/{pod}[/{uid}]

What is wrong before the upgrade is answered in HTTP, in the kubelet's words; what goes wrong afterwards is said on
the error stream.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable

from aiohttp import web

from control_plane.client.streams import handshake
from control_plane.client.streams.errors import NotAnUpgrade
from node.agent.manager import PodManager
from node.agent.pod_spec import full_name, host_network, uid
from node.agent.streaming import over_spdy, over_websocket, port_forward
from node.agent.streaming.command import BadOptions, Options, Run
from node.network.interface import Network
from node.runtime.interface import ContainerState, Runtime, SandboxState, Streams

MAX_CONNECTIONS = 512  # of all kinds; who comes too late is told to come again

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Absent(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class StreamingServer:
    def __init__(self, manager: PodManager, runtime: Runtime, network: Network) -> None:
        self._manager = manager
        self._runtime = runtime
        self._network = network
        self._open = 0

    def add_to(self, app: web.Application) -> None:
        for name, handler in (("exec", self._exec), ("attach", self._attach)):
            for path in (
                f"/{name}/{{namespace}}/{{pod}}/{{container}}",
                f"/{name}/{{namespace}}/{{pod}}/{{uid}}/{{container}}",
            ):
                self._route(app, path, handler)
        for path in ("/portForward/{namespace}/{pod}", "/portForward/{namespace}/{pod}/{uid}"):
            self._route(app, path, self._port_forward)

    def _route(self, app: web.Application, path: str, handler: Handler) -> None:
        async def answered(request: web.Request) -> web.StreamResponse:
            return await self._answered(request, handler)

        app.router.add_get(path, answered, allow_head=False)
        app.router.add_post(path, answered)

    async def _answered(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._open >= MAX_CONNECTIONS:
            return web.Response(status=429, text="too many streams\n", headers={"Retry-After": "1"})
        self._open += 1
        try:
            if request.body_exists:
                raise BadOptions("an upgrade request has no body")
            return await handler(request)
        except _Absent as error:
            return web.Response(status=error.status, text=str(error))
        except BadOptions as error:
            return web.Response(status=400, text=str(error))
        except NotAnUpgrade as error:
            return web.Response(status=403, text=str(error))
        finally:
            self._open -= 1

    # ---- exec and attach

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        options = Options.parse(request.query, request.query.getall("command", []))
        if not options.command:
            raise BadOptions("no command given")
        container_id = await self._container(request)
        if not container_id:
            raise _Absent(500, f'container not found ("{request.match_info["container"]}")')

        async def run(streams: Streams) -> int:
            return await self._runtime.exec(container_id, options.command, streams)

        return await _command(request, options, run, "error executing command in container")

    async def _attach(self, request: web.Request) -> web.StreamResponse:
        options = Options.parse(request.query, ())
        container_id = await self._container(request)
        if not container_id:
            names = request.match_info
            why = f"container {names['container']} not found in pod {names['pod']}_{names['namespace']}"
            raise _Absent(500, why)

        async def run(streams: Streams) -> int:
            await self._runtime.attach(container_id, streams)
            return 0

        return await _command(request, options, run, "error attaching to container")

    # ---- port-forward

    async def _port_forward(self, request: web.Request) -> web.StreamResponse:
        pod = self._pod(request)
        sandbox_id = await self._sandbox(request)
        if not sandbox_id:
            raise _Absent(500, f'failed to find sandbox for pod "{request.match_info["pod"]}"')
        on_node = host_network(pod)

        async def dial(port: int) -> socket.socket:
            if on_node:
                return await self._network.connect("127.0.0.1", port, socket.SOCK_STREAM)
            return await self._network.connect_pod(sandbox_id, port)

        if handshake.upgrade_of(request.headers) not in ("websocket", handshake.SPDY.lower()):
            raise BadOptions("Upgrade request required")
        return await port_forward.serve(request, full_name(pod), dial)

    # ---- what is meant

    def _pod(self, request: web.Request) -> dict[str, object]:
        names = request.match_info
        worker = self._manager.worker(names["namespace"], names["pod"])
        if worker is None or names.get("uid", worker.uid) != worker.uid:
            raise _Absent(404, "pod does not exist")
        return worker.pod

    async def _sandbox(self, request: web.Request) -> str:
        """The newest that is ready; "" when there is none."""
        pod_uid = uid(self._pod(request))
        mine = [each for each in await self._runtime.list_pod_sandboxes() if each.config.uid == pod_uid]
        ready = [each for each in mine if each.state is SandboxState.READY]
        return max(ready, key=lambda each: each.created_at_ns).id if ready else ""

    async def _container(self, request: web.Request) -> str:
        """The one of that name that runs; "" when there is none."""
        sandbox_id = await self._sandbox(request)
        running = [
            each.id
            for each in (await self._runtime.list_containers(sandbox_id) if sandbox_id else ())
            if each.config.name == request.match_info["container"] and each.state is ContainerState.RUNNING
        ]
        return running[0] if running else ""


async def _command(request: web.Request, options: Options, run: Run, what: str) -> web.StreamResponse:
    upgrade = handshake.upgrade_of(request.headers)
    if upgrade == "websocket":
        return await over_websocket.serve(request, options, run, what)
    if upgrade == handshake.SPDY.lower():
        return await over_spdy.serve(request, options, run, what)
    raise BadOptions("Upgrade request required")
