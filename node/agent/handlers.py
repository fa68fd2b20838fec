"""The actions that probes and lifecycle hooks share: exec, httpGet, tcpSocket, grpc, sleep.

Each is tried once within its time and answers (well or not, what to say). A pod on the node's network is asked
at the node's address; sockets are made on the node's side of the network, where pods can be reached.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from node.agent import grpc_health, http_get
from node.agent.pod_spec import Obj
from node.network.interface import Network
from node.runtime.interface import ExecTimeout, NotFound, Runtime, RuntimeError_

SLACK_S = 1.0  # what an action gets to say itself that its time is up
MAX_OUTPUT_BYTES = 10 * 1024
USER_AGENT = "kube-probe/1.36"
HTTP_TIMEOUT_MESSAGE = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"


@dataclass(frozen=True, slots=True)
class Target:
    """Where an action goes: the container, its ports by name, and the pod's address."""

    container_id: str
    container: Obj
    address: str


@dataclass(frozen=True, slots=True)
class Result:
    ok: bool
    output: str


@dataclass(frozen=True, slots=True)
class Handlers:
    runtime: Runtime
    network: Network

    async def run(self, action: Obj, target: Target, timeout_s: float) -> Result:
        """Never raises for what the workload does; a timeout is a failure."""
        try:
            async with asyncio.timeout(timeout_s + SLACK_S):
                return await self._run(action, target, timeout_s)
        except (TimeoutError, ExecTimeout):
            return Result(False, f"command timed out after {timeout_s:g}s")
        except NotFound as error:
            return Result(False, f"container not running: {error}")
        except (OSError, ValueError, RuntimeError_) as error:
            return Result(False, str(error) or repr(error))

    async def _run(self, action: Obj, target: Target, timeout_s: float) -> Result:
        if "exec" in action:
            return await self._exec(action["exec"].get("command") or [], target, timeout_s)
        if "httpGet" in action:
            return await self._http(action["httpGet"], target, timeout_s)
        if "tcpSocket" in action:
            return await self._tcp(action["tcpSocket"], target, timeout_s)
        if "grpc" in action:
            return await self._grpc(action["grpc"], target, timeout_s)
        if "sleep" in action:
            await asyncio.sleep(min(float(action["sleep"].get("seconds", 0)), timeout_s))
            return Result(True, "")
        return Result(False, "missing probe handler")

    async def _exec(self, command: Sequence[str], target: Target, timeout_s: float) -> Result:
        done = await self.runtime.exec_sync(target.container_id, command, timeout_s)
        output = (done.stdout + done.stderr)[:MAX_OUTPUT_BYTES].decode(errors="replace")
        return Result(done.exit_code == 0, output)

    async def _http(self, action: Obj, target: Target, timeout_s: float) -> Result:
        scheme = str(action.get("scheme") or "HTTP").lower()
        address = action.get("host") or target.address
        port = resolve_port(action["port"], target.container)
        path = str(action.get("path") or "/")
        shown = f"[{address}]" if ":" in address else address
        url = f"{scheme}://{shown}:{port}/{path.removeprefix('/')}"
        headers = _headers(action)
        host = next((value for name, value in headers if name.lower() == "host"), "")
        try:
            async with asyncio.timeout(timeout_s):
                answer = await http_get.get(self._connector(timeout_s), url, host, headers)
        except TimeoutError:
            return Result(False, f'Get "{url}": {HTTP_TIMEOUT_MESSAGE}')
        except OSError as error:
            return Result(False, f'Get "{url}": {_dial_error(address, port, error)}')
        if 200 <= answer.status < 400:
            return Result(True, answer.body.decode(errors="replace"))
        return Result(False, f"HTTP probe failed with statuscode: {answer.status}")

    async def _tcp(self, action: Obj, target: Target, timeout_s: float) -> Result:
        address = action.get("host") or target.address
        port = resolve_port(action["port"], target.container)
        try:
            sock = await self.network.connect(address, port, socket.SOCK_STREAM, timeout_s=timeout_s)
        except TimeoutError:
            return Result(False, f"dial tcp {address}:{port}: i/o timeout")
        except OSError as error:
            return Result(False, _dial_error(address, port, error))
        sock.close()
        return Result(True, "")

    async def _grpc(self, action: Obj, target: Target, timeout_s: float) -> Result:
        port = int(action["port"])
        try:
            async with asyncio.timeout(timeout_s):
                sock = await self._connector(timeout_s)(target.address, port)
                ok, said = await grpc_health.check(
                    sock, action.get("service") or "", f"{target.address}:{port}"
                )
        except TimeoutError:
            return Result(
                False, f'timeout: failed to connect service "{target.address}:{port}" within {timeout_s:g}s'
            )
        return Result(ok, said)

    def _connector(self, timeout_s: float) -> http_get.Connect:
        async def connect(address: str, port: int) -> socket.socket:
            return await self.network.connect(address, port, socket.SOCK_STREAM, timeout_s=timeout_s)

        return connect


def _headers(action: Obj) -> list[tuple[str, str]]:
    given = [(each["name"], each.get("value", "")) for each in action.get("httpHeaders") or []]
    names = {name.lower() for name, _ in given}
    ours = [("User-Agent", USER_AGENT), ("Accept", "*/*")]
    return given + [pair for pair in ours if pair[0].lower() not in names]


def resolve_port(port: int | str, container: Obj) -> int:
    """A number, or the name of one of the container's ports. Raises ValueError."""
    if isinstance(port, int) or str(port).isdigit():
        number = int(port)
        if not 0 < number < 65536:
            raise ValueError(f"invalid port number: {number}")
        return number
    for each in container.get("ports") or []:
        if each.get("name") == port:
            return int(each["containerPort"])
    raise ValueError(f"couldn't find port: {port!r} in container {container['name']!r}")


def _dial_error(address: str, port: int, error: OSError) -> str:
    why = os.strerror(error.errno).lower() if error.errno else str(error) or repr(error)
    return f"dial tcp {address}:{port}: connect: {why}"
