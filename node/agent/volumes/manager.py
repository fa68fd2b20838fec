"""The volumes of this node's pods: set up before the sandbox, renewed while it runs, torn down after it.

What is set up is also what is found in the pod's directory (`<root>/pods/<uid>/volumes/<plugin>/<name>`), so a
restarted agent tears down what it has never set up itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from node.agent.errors import VolumeError
from node.agent.pod_spec import Obj, containers_by_role, uid
from node.agent.volumes import cleanup, ownership, subpath
from node.agent.volumes.interface import Request, Services, Volume
from node.agent.volumes.registry import BY_DIRECTORY, PLUGINS
from node.runtime.interface import Mount
from store.component import logs

log = logs.get("node.volumes")


class VolumeManager:
    def __init__(self, root: Path, services: Services) -> None:
        self._root = root
        self._services = services
        self._volumes: dict[str, dict[str, Volume]] = {}  # pod uid -> volume name
        self._locks: dict[str, asyncio.Lock] = {}

    def pod_directory(self, pod_uid: str) -> Path:
        return self._root / "pods" / pod_uid

    async def set_up(self, pod: Obj) -> None:
        """All volumes that a container uses. Raises VolumeError, named after the first that fails."""
        async with self._lock(uid(pod)):
            used = _used(pod)
            ready = self._volumes.setdefault(uid(pod), {})
            for volume in pod["spec"].get("volumes") or []:
                if volume["name"] in used:
                    ready[volume["name"]] = await self._set_up_one(pod, volume)

    async def refresh(self, pod: Obj) -> None:
        """What shows objects of the API, again. A failure leaves the last good content."""
        async with self._lock(uid(pod)):
            ready = self._volumes.get(uid(pod), {})
            for volume in pod["spec"].get("volumes") or []:
                if volume["name"] in ready and _plugin_field(volume) in _CHANGING:
                    try:
                        ready[volume["name"]] = await self._set_up_one(pod, volume)
                    except VolumeError as error:
                        log.warning("volume not renewed", pod=uid(pod), volume=volume["name"], reason=error)

    def renew_at_s(self, pod_uid: str) -> float | None:
        due = [each.renew_at_s for each in self._volumes.get(pod_uid, {}).values() if each.renew_at_s]
        return min(due, default=None)

    def mounts(self, pod: Obj, container: Obj, env: Mapping[str, str]) -> list[Mount]:
        """Raises VolumeError for a mount without its volume, or a subPath that leaves it."""
        ready = self._volumes.get(uid(pod), {})
        return [self._mount(ready, each, env) for each in container.get("volumeMounts") or []]

    async def tear_down(self, pod_uid: str) -> None:
        """Raises VolumeError when something cannot be removed yet."""
        async with self._lock(pod_uid):
            base = self.pod_directory(pod_uid) / "volumes"
            for plugin_directory in sorted(base.iterdir()) if base.is_dir() else []:
                plugin = BY_DIRECTORY.get(plugin_directory.name)
                for directory in sorted(plugin_directory.iterdir()):
                    if plugin is not None:
                        await plugin.tear_down(directory)
            cleanup.remove(base)
            self._volumes.pop(pod_uid, None)

    def forget(self, pod_uid: str) -> None:
        """The pod is gone for good: its directory too."""
        cleanup.remove(self.pod_directory(pod_uid))
        self._volumes.pop(pod_uid, None)
        self._locks.pop(pod_uid, None)

    def known_on_disk(self) -> set[str]:
        base = self._root / "pods"
        return {each.name for each in base.iterdir()} if base.is_dir() else set()

    async def _set_up_one(self, pod: Obj, volume: Obj) -> Volume:
        name, plugin = volume["name"], PLUGINS.get(_plugin_field(volume))
        if plugin is None:
            raise VolumeError(
                f'MountVolume.SetUp failed for volume "{name}" : no volume plugin matched "{_plugin_field(volume)}"'
            )
        directory = self.pod_directory(uid(pod)) / "volumes" / plugin.directory / name
        try:
            made = await plugin.set_up(Request(pod, volume, directory, self._services))
        except (VolumeError, OSError) as error:
            raise VolumeError(f'MountVolume.SetUp failed for volume "{name}" : {error}') from error
        if made.path == directory:
            ownership.apply(pod, directory)
        return made

    def _mount(self, ready: Mapping[str, Volume], mount: Obj, env: Mapping[str, str]) -> Mount:
        volume = ready.get(mount["name"])
        if volume is None:
            raise VolumeError(f'cannot find volume "{mount["name"]}" to mount into container')
        host = subpath.resolve(volume.path, mount, env)
        read_only = bool(mount.get("readOnly")) or volume.read_only
        return Mount(mount["mountPath"], str(host), read_only, volume.of_node)

    def _lock(self, pod_uid: str) -> asyncio.Lock:
        return self._locks.setdefault(pod_uid, asyncio.Lock())


_CHANGING = {field for field, plugin in PLUGINS.items() if plugin.changes}


def _plugin_field(volume: Obj) -> str:
    return next((key for key in volume if key != "name"), "emptyDir")


def _used(pod: Obj) -> set[str]:
    return {
        mount["name"]
        for _, container in containers_by_role(pod)
        for mount in container.get("volumeMounts") or []
    }
