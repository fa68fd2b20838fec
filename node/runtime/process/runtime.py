"""ProcessRuntime: the agent's side of the `process` runtime (see interface.py for the contract).

The truth about processes is the shims'; this side remembers what they said, and what was asked for. Both are on
disk (records.py), so `start` finds every pod of an earlier agent: a shim that answers goes on being used, one
that does not has taken its pod with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import secrets
import select
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from node.network.errors import NetworkError
from node.network.interface import Network, PodNetwork
from node.runtime.interface import (
    ContainerConfig,
    ContainerState,
    ContainerStatus,
    CreateError,
    ExecResult,
    ExecTimeout,
    NotFound,
    NotRunning,
    Resources,
    RuntimeError_,
    RuntimeEvent,
    SandboxConfig,
    SandboxState,
    SandboxStatus,
    Streams,
    UpdateError,
)
from node.runtime.process import limits, spec, streaming, volumes
from node.runtime.process.events import Events
from node.runtime.process.exec_output import ExecOutput
from node.runtime.process.images import ImageStore
from node.runtime.process.isolation import Isolation, hidden_paths
from node.runtime.process.records import ContainerRecord, Records, SandboxRecord
from node.runtime.process.sandbox import Container, Sandbox
from node.runtime.process.shim_client import ShimClient, ShimGone, Spawner

STOP_TIMEOUT_S = 10.0  # for a shim to kill its pod and end, before it is killed itself
KILL_SLACK_S = 10.0  # past a container's grace period, for SIGKILL to take effect


class ProcessRuntime:
    name = "process"
    version = "0.1.0"

    def __init__(
        self, root: Path, network: Network, hidden: Sequence[Path] = (), images: Path | None = None
    ) -> None:
        """`root` is this runtime's own directory; `hidden` is what pods must not see besides it."""
        self._root = root
        self._network = network
        self._hidden = (root, *hidden)
        self._records = Records(root)
        self._images = ImageStore(images or root / "images")
        self._spawner = Spawner()
        self._events = Events()
        self._sandboxes: dict[str, Sandbox] = {}
        self._containers: dict[str, Container] = {}
        self._host = spec.Host(Isolation(False, reason="not started"), limits.Limiter(0), ())

    def isolation(self) -> str:
        """For the node's condition and `balsa doctor`: what separates pods from the host here."""
        return f"{self._host.isolation}; limits by {self._host.limiter.explanation}"

    @property
    def isolated(self) -> bool:
        return self._host.isolation.isolated

    async def start(self) -> None:
        (self._root / "probe").mkdir(parents=True, exist_ok=True)
        self._spawner.start()
        isolation = Isolation(**await self._spawner.probe(self._root / "probe"))
        self._host = spec.Host(isolation, limits.detect(self._root), hidden_paths(self._hidden))
        await asyncio.gather(*(self._adopt(record) for record in list(self._records.load_sandboxes())))
        limits.sweep(self._root)
        for sandbox_id in await self._network.allocated():  # of an agent killed between the two
            if sandbox_id not in self._sandboxes:
                await self._network.teardown_pod(sandbox_id)

    async def close(self) -> None:
        for sandbox in self._sandboxes.values():
            sandbox.shim.close()
        await self._spawner.close()
        self._events.close()

    # sandboxes

    async def run_pod_sandbox(self, config: SandboxConfig) -> str:
        record = SandboxRecord(secrets.token_hex(32), config, time.time_ns())
        try:
            network = await self._network_of(record)
            record.ips, record.netns_path = network.ips, network.netns_path or ""
            self._records.save_sandbox(record)
            sandbox = self._new_sandbox(record)
            sandbox.write_shim_config(self._host.isolation, self._network.lifeline_pid)
            await self._spawner.spawn_shim(sandbox.directory)
            await sandbox.connect()
        except BaseException as error:
            await self._discard(record)
            if isinstance(error, (OSError, NetworkError)):  # a full disk, no address left, no network
                raise CreateError(f"failed to set up the sandbox of pod {config.name!r}: {error}") from error
            raise
        return record.id

    async def _network_of(self, record: SandboxRecord) -> PodNetwork:
        if record.config.host_network:
            return PodNetwork((), self._network.host_netns_path)
        return await self._network.setup_pod(record.id)

    async def _discard(self, record: SandboxRecord) -> None:
        self._sandboxes.pop(record.id, None)
        if not record.config.host_network:
            await self._network.teardown_pod(record.id)
        self._records.remove_sandbox(record.id)

    async def stop_pod_sandbox(self, sandbox_id: str) -> None:
        sandbox = self._sandboxes.get(sandbox_id)
        if sandbox is None:
            return
        try:
            await asyncio.wait_for(sandbox.shim.request("shutdown"), STOP_TIMEOUT_S)
        except (ShimGone, TimeoutError):
            sandbox.kill_shim()
        sandbox.lost()
        if not sandbox.record.config.host_network:
            await self._network.teardown_pod(sandbox_id)
        if not sandbox.record.stopped:
            sandbox.record.stopped = True
            self._records.save_sandbox(sandbox.record)

    async def remove_pod_sandbox(self, sandbox_id: str) -> None:
        sandbox = self._sandboxes.get(sandbox_id)
        if sandbox is None:
            return
        await self.stop_pod_sandbox(sandbox_id)
        self._sandboxes.pop(sandbox_id, None)
        for container_id in sandbox.containers:
            self._containers.pop(container_id, None)
        self._records.remove_sandbox(sandbox_id)

    async def list_pod_sandboxes(self) -> list[SandboxStatus]:
        return [_sandbox_status(sandbox) for sandbox in self._sandboxes.values()]

    async def pod_sandbox_status(self, sandbox_id: str) -> SandboxStatus:
        return _sandbox_status(self._sandbox(sandbox_id))

    # containers

    async def create_container(self, sandbox_id: str, config: ContainerConfig) -> str:
        sandbox = self._sandbox(sandbox_id)
        if not sandbox.ready:
            raise CreateError(f"sandbox {sandbox_id} is not ready")
        image = self._images.resolve(config.image, bool(config.command))
        container_id = secrets.token_hex(32)
        pod = sandbox.record
        launch = spec.build(pod.config, pod.ips, container_id, config, image, self._host)
        record = ContainerRecord(
            container_id, sandbox_id, config, time.time_ns(), image.reference, image.config
        )
        if not self.isolated:
            volumes.link(self._records.container_directory(sandbox_id, container_id), launch)
        self._records.save_container(record, launch)
        self._containers[container_id] = sandbox.add(record, None)
        self._events.publish(RuntimeEvent(sandbox_id, pod.config.uid))
        return container_id

    async def start_container(self, container_id: str) -> None:
        container = self._container(container_id)
        answer = await self._sandbox(container.record.sandbox_id).shim.request("start", cid=container_id)
        container.update(answer["status"])

    async def stop_container(self, container_id: str, timeout_s: float) -> None:
        container = self._containers.get(container_id)
        if container is None or container.state != ContainerState.RUNNING:
            return
        number = spec.stop_signal(container.record.config, container.record.image_config)
        shim = self._sandbox(container.record.sandbox_id).shim
        timeout_s = max(timeout_s, 0.0)
        with contextlib.suppress(NotFound, ShimGone):
            request = shim.request("stop", cid=container_id, signal=int(number), timeout_s=timeout_s)
            answer = await asyncio.wait_for(request, timeout_s + KILL_SLACK_S)
            container.update(answer["status"])

    async def signal_container(self, container_id: str, number: signal.Signals) -> None:
        container = self._container(container_id)
        shim = self._sandbox(container.record.sandbox_id).shim
        await shim.request("signal", cid=container_id, signal=int(number))

    async def update_container(
        self, container_id: str, resources: Resources, annotations: Mapping[str, str]
    ) -> None:
        container = self._container(container_id)
        record = container.record
        if resources != record.config.resources:
            await self._change_limits(container_id, record.config.resources, resources)
        record.config = dataclasses.replace(record.config, resources=resources, annotations=annotations)
        self._records.update_container(record)

    async def remove_container(self, container_id: str) -> None:
        container = self._containers.get(container_id)
        if container is None:
            return
        await self.stop_container(container_id, 0)
        sandbox = self._sandbox(container.record.sandbox_id)
        with contextlib.suppress(RuntimeError_):
            await sandbox.shim.request("forget", cid=container_id)
        sandbox.containers.pop(container_id, None)
        self._containers.pop(container_id, None)
        self._records.remove_container(sandbox.record.id, container_id)

    async def list_containers(self, sandbox_id: str | None = None) -> list[ContainerStatus]:
        found = self._containers.values()
        return [c.describe() for c in found if sandbox_id in (None, c.record.sandbox_id)]

    async def container_status(self, container_id: str) -> ContainerStatus:
        return self._container(container_id).describe()

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_s: float) -> ExecResult:
        """`timeout_s` 0 means no limit, as in CRI."""
        container = self._container(container_id)
        shim = self._sandbox(container.record.sandbox_id).shim
        output = ExecOutput()
        try:
            fds = (output.stdin, output.stdout, output.stderr)
            task = asyncio.ensure_future(
                shim.request("exec", fds, cid=container_id, argv=list(command), tty=False)
            )
            await asyncio.sleep(0)  # the request has sent the descriptors: ours would keep the pipes open
            output.handed_over()
            answer = await asyncio.wait_for(task, timeout_s or None)
        except TimeoutError:
            raise ExecTimeout(f"command {list(command)!r} timed out after {timeout_s:g}s") from None
        finally:
            output.close()
        return ExecResult(bytes(output.out), bytes(output.err), answer["exit_code"])

    async def exec(self, container_id: str, command: Sequence[str], streams: Streams) -> int:
        return await streaming.exec_(self._running(container_id), container_id, command, streams)

    async def attach(self, container_id: str, streams: Streams) -> None:
        await streaming.attach(self._running(container_id), container_id, streams)

    # images and events

    async def pull_image(self, image: str, has_command: bool) -> str:
        return self._images.resolve(image, has_command).reference

    def events(self) -> AsyncIterator[RuntimeEvent]:
        return self._events.subscribe()

    # inside

    async def _change_limits(self, container_id: str, old: Resources, new: Resources) -> None:
        sandbox = self._sandbox(self._container(container_id).record.sandbox_id)
        plan = self._host.limiter.change(container_id, new, sandbox.record.config.uid)
        if plan is not None:
            await self._running(container_id).request("update", cid=container_id, cgroups=plan)
        elif old.memory_limit_bytes != new.memory_limit_bytes:
            raise UpdateError("limits are rlimits here, which only a restart of the container changes")

    def _new_sandbox(self, record: SandboxRecord) -> Sandbox:
        def changed() -> None:
            self._events.publish(RuntimeEvent(record.id, record.config.uid))

        sandbox = Sandbox(record, self._records.sandbox_directory(record.id), changed)
        self._sandboxes[record.id] = sandbox
        return sandbox

    async def _adopt(self, record: SandboxRecord) -> None:
        sandbox = self._new_sandbox(record)
        for container in self._records.load_containers(record.id):
            status = self._records.load_status(container)
            self._containers[container.id] = sandbox.add(container, status)
        try:
            await sandbox.connect()
        except (ShimGone, TimeoutError):
            sandbox.lost()

    def _running(self, container_id: str) -> ShimClient:
        container = self._container(container_id)
        if container.state != ContainerState.RUNNING:
            raise NotRunning(f"container is in {container.state.upper()} state")
        return self._sandbox(container.record.sandbox_id).shim

    def _sandbox(self, sandbox_id: str) -> Sandbox:
        try:
            return self._sandboxes[sandbox_id]
        except KeyError:
            raise NotFound(f'an error occurred when try to find sandbox "{sandbox_id}": not found') from None

    def _container(self, container_id: str) -> Container:
        try:
            return self._containers[container_id]
        except KeyError:
            raise NotFound(
                f'an error occurred when try to find container "{container_id}": not found'
            ) from None


def _sandbox_status(sandbox: Sandbox) -> SandboxStatus:
    record = sandbox.record
    state = SandboxState.READY if sandbox.ready else SandboxState.NOT_READY
    return SandboxStatus(record.id, record.config, state, record.created_at_ns, tuple(record.ips))


def kill_all(root: Path) -> None:
    """End every pod under a runtime's directory, without an agent: for the launcher's `down`. Blocks until
    they are gone, at most STOP_TIMEOUT_S."""
    ending = []
    for directory in (root / "sandboxes").glob("*"):
        with contextlib.suppress(OSError):
            pid = Sandbox.shim_pid(directory)
            if pid:
                ending.append(os.pidfd_open(pid))
                os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    for handle in ending:
        select.select([handle], [], [], max(deadline - time.monotonic(), 0.0))
        os.close(handle)
    limits.sweep(root)
