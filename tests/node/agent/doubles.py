"""Small in-memory stand-ins: a runtime whose containers do as the test says, and recorders of what was said."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from node.agent.handlers import Result, Target
from node.agent.references import Ref
from node.runtime.interface import (
    ContainerConfig,
    ContainerState,
    ContainerStatus,
    ExecResult,
    ImageError,
    Mount,
    NotFound,
    Resources,
    RuntimeEvent,
    SandboxConfig,
    SandboxState,
    SandboxStatus,
    UpdateError,
)

Obj = dict[str, Any]


class FakeRuntime:
    """Containers run until the test calls `exit`, or at once when the image is `exit:<code>`."""

    name = "fake"
    version = "1"

    def __init__(self) -> None:
        self.sandboxes: dict[str, SandboxStatus] = {}
        self.containers: dict[str, ContainerStatus] = {}
        self.bad_images: dict[str, str] = {}
        self.refuses_update: UpdateError | None = None
        self.stubborn = False  # containers ignore SIGTERM
        self.calls: list[tuple[str, str]] = []
        self.queue: asyncio.Queue[RuntimeEvent] = asyncio.Queue()
        self._count = 0

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def run_pod_sandbox(self, config: SandboxConfig) -> str:
        sandbox_id = self._id("sandbox")
        now = time.time_ns()
        self.sandboxes[sandbox_id] = SandboxStatus(
            sandbox_id, config, SandboxState.READY, now, () if config.host_network else ("10.244.1.7",)
        )
        return sandbox_id

    async def stop_pod_sandbox(self, sandbox_id: str) -> None:
        self.calls.append(("stop_sandbox", sandbox_id))
        if sandbox_id in self.sandboxes:
            self.sandboxes[sandbox_id] = replace(
                self.sandboxes[sandbox_id], state=SandboxState.NOT_READY, ips=()
            )
            for each in list(self.containers.values()):
                if each.sandbox_id == sandbox_id and each.state is ContainerState.RUNNING:
                    self.exit(each.id, 137)

    async def remove_pod_sandbox(self, sandbox_id: str) -> None:
        self.sandboxes.pop(sandbox_id, None)
        for each in [each for each in self.containers.values() if each.sandbox_id == sandbox_id]:
            del self.containers[each.id]

    async def list_pod_sandboxes(self) -> list[SandboxStatus]:
        return list(self.sandboxes.values())

    async def pod_sandbox_status(self, sandbox_id: str) -> SandboxStatus:
        if sandbox_id not in self.sandboxes:
            raise NotFound(sandbox_id)
        return self.sandboxes[sandbox_id]

    async def create_container(self, sandbox_id: str, config: ContainerConfig) -> str:
        container_id = self._id("container")
        self.containers[container_id] = ContainerStatus(
            container_id, sandbox_id, config, ContainerState.CREATED, time.time_ns(), image_ref=config.image
        )
        return container_id

    async def start_container(self, container_id: str) -> None:
        status = self.containers[container_id]
        self.calls.append(("start", status.config.name))
        self.containers[container_id] = replace(
            status, state=ContainerState.RUNNING, started_at_ns=time.time_ns(), pid=1
        )
        if status.config.image.startswith("exit:"):
            self.exit(container_id, int(status.config.image.removeprefix("exit:")))

    async def stop_container(self, container_id: str, timeout_s: float) -> None:
        if container_id not in self.containers:
            raise NotFound(container_id)
        self.calls.append(("stop", self.containers[container_id].config.name))
        if self.stubborn:
            await asyncio.sleep(timeout_s)
        if self.containers[container_id].state is ContainerState.RUNNING:
            self.exit(container_id, 137 if self.stubborn else 143)

    async def update_container(
        self, container_id: str, resources: Resources, annotations: Mapping[str, str]
    ) -> None:
        self.calls.append(("update", self.containers[container_id].config.name))
        if self.refuses_update is not None:
            raise self.refuses_update
        status = self.containers[container_id]
        config = replace(status.config, resources=resources, annotations=annotations)
        self.containers[container_id] = replace(status, config=config)

    async def remove_container(self, container_id: str) -> None:
        self.containers.pop(container_id, None)

    async def list_containers(self, sandbox_id: str | None = None) -> list[ContainerStatus]:
        return [each for each in self.containers.values() if sandbox_id in (None, each.sandbox_id)]

    async def container_status(self, container_id: str) -> ContainerStatus:
        if container_id not in self.containers:
            raise NotFound(container_id)
        return self.containers[container_id]

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_s: float) -> ExecResult:
        self.calls.append(("exec", " ".join(command)))
        return ExecResult(b"", b"", 0)

    async def pull_image(self, image: str, has_command: bool) -> str:
        if image in self.bad_images:
            raise ImageError(self.bad_images[image], f"no such image: {image}")
        return image

    async def events(self) -> AsyncIterator[RuntimeEvent]:
        while True:
            yield await self.queue.get()

    # ---- the test's hand

    def exit(self, container_id: str, code: int) -> None:
        status = self.containers[container_id]
        self.containers[container_id] = replace(
            status,
            state=ContainerState.EXITED,
            finished_at_ns=time.time_ns(),
            exit_code=code,
            reason="Error" if code else "Completed",
        )
        sandbox = self.sandboxes.get(status.sandbox_id)
        self.queue.put_nowait(RuntimeEvent(status.sandbox_id, sandbox.config.uid if sandbox else ""))

    def running(self, name: str) -> ContainerStatus | None:
        mine = [each for each in self.containers.values() if each.config.name == name]
        return next((each for each in mine if each.state is ContainerState.RUNNING), None)

    def kill_sandbox(self) -> None:
        for each in list(self.sandboxes.values()):
            self.sandboxes[each.id] = replace(each, state=SandboxState.NOT_READY, ips=())
        for container in list(self.containers.values()):
            if container.state is ContainerState.RUNNING:
                self.exit(container.id, 137)

    def _id(self, kind: str) -> str:
        self._count += 1
        return f"{kind}-{self._count}"


class FakeStatus:
    def __init__(self) -> None:
        self.statuses: dict[str, Obj] = {}
        self.history: list[Obj] = []
        self.finished: list[str] = []

    def current(self, pod: Obj) -> Obj:
        return self.statuses.get(pod["metadata"]["uid"]) or dict(pod.get("status") or {})

    def set(self, pod: Obj, status: Obj) -> None:
        self.statuses[pod["metadata"]["uid"]] = status
        self.history.append(status)

    def finish(self, pod: Obj) -> None:
        if pod["metadata"]["uid"] not in self.finished:
            self.finished.append(pod["metadata"]["uid"])

    def object_changed(self, pod_uid: str) -> None: ...

    def forget(self, pod_uid: str) -> None:
        self.statuses.pop(pod_uid, None)


class FakeVolumes:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.torn_down: list[str] = []

    async def set_up(self, pod: Obj) -> None: ...

    async def tear_down(self, pod_uid: str) -> None:
        self.torn_down.append(pod_uid)

    def mounts(self, pod: Obj, container: Obj, env: dict[str, str]) -> list[Mount]:
        return []

    def pod_directory(self, pod_uid: str) -> Path:
        return self.root / "pods" / pod_uid

    def forget(self, pod_uid: str) -> None: ...


class FakeObjects:
    def __init__(self, objects: Mapping[tuple[str, str, str], Obj] | None = None) -> None:
        self.objects = dict(objects or {})

    def retain(self, owner: str, refs: set[Ref]) -> None: ...

    async def get(self, ref: Ref) -> Obj | None:
        return self.peek(ref.kind, ref.namespace, ref.name)

    def peek(self, kind: str, namespace: str, name: str) -> Obj | None:
        return self.objects.get((kind, namespace, name))

    def release(self, owner: str) -> None: ...


class FakeProber:
    """Answers by container and action kind; well unless told otherwise."""

    def __init__(self) -> None:
        self.bad: set[tuple[str, str]] = set()
        self.ran: list[tuple[str, str]] = []

    async def run(self, action: Obj, target: Target, timeout_s: float) -> Result:
        kind = next(key for key in action if key in ("exec", "httpGet", "tcpSocket", "grpc", "sleep"))
        self.ran.append((target.container["name"], kind))
        return Result((target.container["name"], kind) not in self.bad, "said the double")


class FakeEvents:
    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []

    def event(self, obj: Obj, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        self.events.append((type, reason, message))

    def reasons(self) -> list[str]:
        return [reason for _, reason, _ in self.events]


class HostNetwork:
    """The network seam on the host's loopback, for handlers that connect."""

    name = "host"
    node_ip = "127.0.0.1"
    pod_cidr = ""
    host_netns_path = None
    lifeline_pid = 0

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def connect(
        self, address: str, port: int, kind: socket.SocketKind, source: str = "", timeout_s: float = 5.0
    ) -> socket.socket:
        sock = socket.socket(socket.AF_INET, kind)
        sock.setblocking(False)
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.get_running_loop().sock_connect(sock, (address, port))
        except BaseException:
            sock.close()
            raise
        return sock
