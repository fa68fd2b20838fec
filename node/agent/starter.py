"""Starting one container: image, configuration, create, start, postStart. What fails becomes a Problem.

The events and their wording are kubelet's (pkg/kubelet/kuberuntime, pkg/kubelet/images).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.agent import container_config, container_files, dynamic_resources, environment, references
from node.agent.errors import ConfigError, VolumeError
from node.agent.handlers import Target
from node.agent.parts import Parts
from node.agent.pod_spec import Obj, grace_s, uid
from node.agent.view import Problem, StartContainer
from node.runtime.interface import (
    ContainerConfig,
    ContainerState,
    ContainerStatus,
    CreateError,
    ImageError,
    Mount,
    NotFound,
    RuntimeError_,
    SandboxStatus,
    StartError,
)

IMAGE_BACKOFF_S = 10.0
CONFIG_RETRY_S = 2.0
MAX_CONFIG_RETRY_S = 20.0
MAX_IMAGE_BACKOFF_S = 300.0
HOOK_TIMEOUT_S = 3600.0  # a postStart hook may take its time; the pod's deletion ends it


class Failed(Exception):
    def __init__(self, reason: str, message: str, image: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.image = image


@dataclass(frozen=True, slots=True)
class Starter:
    parts: Parts

    async def start(
        self,
        pod: Obj,
        spec: Obj,
        action: StartContainer,
        sandbox: SandboxStatus,
        old: ContainerStatus | None,
        before: Problem | None,
    ) -> Problem | None:
        """None when the container runs (or has run) and its hook is done."""
        try:
            self._prepare_devices(pod, spec)
            await self._pull(pod, spec)
            config = await self._config(pod, spec, action, sandbox)
            if old is not None and old.state is ContainerState.CREATED:
                await self.parts.runtime.remove_container(old.id)
            container_id = await self._create(pod, spec, sandbox, config)
            await self._start(pod, spec, container_id)
            await self._post_start(pod, spec, container_id, sandbox)
        except Failed as failed:
            return self._problem(spec["name"], failed, before)
        return None

    def _prepare_devices(self, pod: Obj, spec: Obj) -> None:
        if why := dynamic_resources.unprepared(pod):
            reason = "FailedPrepareDynamicResources"
            self._warn(pod, spec, reason, f"Failed to prepare dynamic resources: {why}")
            raise Failed(reason, why)

    async def _pull(self, pod: Obj, spec: Obj) -> None:
        image = spec.get("image", "")
        try:
            await self.parts.runtime.pull_image(image, bool(spec.get("command")))
        except ImageError as error:
            if error.reason == "ErrImagePull":
                self._warn(pod, spec, "Failed", f'Failed to pull image "{image}": {error}')
            self._warn(pod, spec, "Failed", f"Error: {error.reason}")
            raise Failed(error.reason, str(error), image) from error
        self._tell(
            pod, spec, "Pulled",
            f'Container image "{image}" already present on machine and can be accessed by the pod',
        )  # fmt: skip

    async def _config(
        self, pod: Obj, spec: Obj, action: StartContainer, sandbox: SandboxStatus
    ) -> ContainerConfig:
        refs = references.of_environment(pod)
        try:
            self.parts.objects.retain(uid(pod), refs)
            for ref in refs:
                await self.parts.objects.get(ref)
            sources = self._sources(sandbox)
            mounts = self._mounts(pod, spec, action.attempt, dict(environment.make(pod, spec, sources)))
            return container_config.container(pod, spec, action, sources, mounts, self.parts.memory_bytes)
        except (ConfigError, VolumeError, OSError, ValueError) as error:
            self._warn(pod, spec, "Failed", f"Error: {error}")
            raise Failed("CreateContainerConfigError", str(error)) from error

    def _sources(self, sandbox: SandboxStatus) -> environment.Sources:
        host_ips = self.parts.host.ips
        pod_ips = host_ips if sandbox.config.host_network else sandbox.ips
        return environment.Sources(
            lookup=self.parts.objects.peek,
            services=self.parts.services(),
            pod_ips=pod_ips,
            host_ips=host_ips,
            node=self.parts.node(),
            says_pod_ip=self.parts.says_pod_ip,
        )

    def _mounts(self, pod: Obj, spec: Obj, attempt: int, env: dict[str, str]) -> Sequence[Mount]:
        directory = self.parts.volumes.pod_directory(uid(pod))
        mounts = self.parts.volumes.mounts(pod, spec, env)
        return [*mounts, container_files.prepare_message(directory, spec, attempt)]

    async def _create(self, pod: Obj, spec: Obj, sandbox: SandboxStatus, config: ContainerConfig) -> str:
        try:
            container_id = await self.parts.runtime.create_container(sandbox.id, config)
        except (CreateError, NotFound, RuntimeError_) as error:
            self._warn(pod, spec, "Failed", f"Error: {error}")
            raise Failed("CreateContainerError", str(error)) from error
        self._tell(pod, spec, "Created", "Container created")
        return container_id

    async def _start(self, pod: Obj, spec: Obj, container_id: str) -> None:
        try:
            await self.parts.runtime.start_container(container_id)
        except (StartError, RuntimeError_) as error:
            self._warn(pod, spec, "Failed", f"Error: {error}")
            raise Failed("RunContainerError", str(error)) from error
        self._tell(pod, spec, "Started", "Container started")

    async def _post_start(self, pod: Obj, spec: Obj, container_id: str, sandbox: SandboxStatus) -> None:
        hook = (spec.get("lifecycle") or {}).get("postStart")
        if not hook:
            return
        ips = self.parts.host.ips if sandbox.config.host_network else sandbox.ips
        target = Target(container_id, spec, ips[0] if ips else "")
        result = await self.parts.prober.run(hook, target, HOOK_TIMEOUT_S)
        if result.ok:
            return
        self._warn(pod, spec, "FailedPostStartHook", f"PostStartHook failed: {result.output}")
        self._tell(pod, spec, "Killing", "FailedPostStartHook")
        await self.parts.runtime.stop_container(container_id, float(grace_s(pod)))
        raise Failed("PostStartHookError", f"PostStartHook failed: {result.output}")

    def _problem(self, container: str, failed: Failed, before: Problem | None) -> Problem:
        """Image pulls back off from 10 s to 300 s, the rest is tried again soon."""
        now_s = self.parts.clock.wall()
        failures = before.failures + 1 if before is not None and before.image == failed.image else 1
        if failed.image:
            delay_s = min(IMAGE_BACKOFF_S * 2.0 ** (failures - 1), MAX_IMAGE_BACKOFF_S)
        else:
            delay_s = min(CONFIG_RETRY_S * 2.0 ** (failures - 1), MAX_CONFIG_RETRY_S)
        return Problem(container, failed.reason, str(failed), now_s, now_s + delay_s, failures, failed.image)

    def _tell(self, pod: Obj, spec: Obj, reason: str, message: str) -> None:
        self.parts.tell(pod, reason, message, spec["name"])

    def _warn(self, pod: Obj, spec: Obj, reason: str, message: str) -> None:
        self.parts.warn(pod, reason, message, spec["name"])
