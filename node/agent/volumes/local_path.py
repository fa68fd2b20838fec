"""Volumes of the built-in provisioner `balsa.dev/local-path`: directories `<root>/local-volumes/<name>` of a node.

A directory is made when its volume is first mounted, and named in the Node's annotation `held-volumes`. When the
volume is being deleted and its policy says Delete, the agent removes the directory and takes its name out of the
annotation, on which the controller lets the volume go. Everything is read from the API and the disk at each look,
so that a restart at any point changes nothing. What belongs to a volume that was retained is left alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from control_plane.api.errors import StatusError
from control_plane.client.clock import Clock
from control_plane.client.errors import ConnectionFailed
from node.agent.errors import VolumeError
from node.agent.pod_spec import Obj
from node.agent.volumes import cleanup
from store.component import logs

DIRECTORY = "local-volumes"
ROOT_ANNOTATION = "balsa.dev/local-volumes"
HELD_ANNOTATION = "balsa.dev/held-volumes"
LOOK_INTERVAL_S = 2.0
MODE = 0o777  # whatever user the pod runs as

log = logs.get("node.volumes")


def own_directory(volume: Obj, root: Path | None) -> Path | None:
    """The directory of a volume that lies below `root`, made if it is missing; None for any other volume."""
    path = (volume["spec"].get("hostPath") or {}).get("path", "")
    if root is None or not path or Path(path).parent != root or Path(path).name == "..":
        return None
    directory = Path(path)
    if not directory.is_dir():
        try:
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(MODE)
        except OSError as error:
            raise VolumeError(f"cannot make {directory}: {error.strerror}") from error
    return directory


def must_go(volume: Obj) -> bool:
    return (
        bool(volume["metadata"].get("deletionTimestamp"))
        and (volume.get("status") or {}).get("phase") == "Released"
        and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete"
    )


class LocalVolumes:
    """`volume` reads a volume, None if it is gone; `held` is the annotation as the API has it, None if it cannot be
    told; `report` writes it."""

    def __init__(
        self,
        root: Path,
        volume: Callable[[str], Awaitable[Obj | None]],
        held: Callable[[], str | None],
        report: Callable[[str], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._root = root
        self._volume = volume
        self._held = held
        self._report = report
        self._clock = clock

    async def run(self) -> None:
        while True:
            try:
                await self.look()
            except (StatusError, ConnectionFailed, VolumeError, OSError) as error:
                log.warning("local volumes not cleaned up", reason=error)
            await self._clock.sleep(LOOK_INTERVAL_S)

    async def look(self) -> None:
        kept = []
        for directory in sorted(self._root.iterdir()) if self._root.is_dir() else []:
            volume = await self._volume(directory.name)
            if volume is not None and must_go(volume):
                await asyncio.to_thread(cleanup.remove, directory)
            elif volume is not None:
                kept.append(directory.name)
        held = ",".join(kept)
        if self._held() not in (held, None):
            await self._report(held)
