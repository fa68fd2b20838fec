"""emptyDir: a directory that lives as long as the pod on this node. `medium: Memory` is kept on disk as well:
an agent without privileges cannot mount a tmpfs that outlives it."""

from __future__ import annotations

from pathlib import Path

from node.agent.volumes import cleanup
from node.agent.volumes.interface import Request, Volume

MODE = 0o777


class EmptyDirVolume:
    field = "emptyDir"
    directory = "kubernetes.io~empty-dir"
    changes = False

    async def set_up(self, request: Request) -> Volume:
        if not request.directory.is_dir():
            request.directory.mkdir(parents=True)
            request.directory.chmod(MODE)
        return Volume(request.directory)

    async def tear_down(self, directory: Path) -> None:
        cleanup.remove(directory)


PLUGIN = EmptyDirVolume()
