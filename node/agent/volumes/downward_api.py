"""downwardAPI: what the pod may read of itself, as files that follow its labels and annotations."""

from __future__ import annotations

from pathlib import Path

from node.agent.volumes import atomic_writer, cleanup, payload, sources
from node.agent.volumes.interface import Request, Volume


class DownwardApiVolume:
    field = "downwardAPI"
    directory = "kubernetes.io~downward-api"
    changes = True

    async def set_up(self, request: Request) -> Volume:
        mode = payload.mode_of(request.source.get("defaultMode"))
        atomic_writer.write(request.directory, sources.downward_api(request, request.source, mode))
        return Volume(request.directory, read_only=True)

    async def tear_down(self, directory: Path) -> None:
        cleanup.remove(directory)


PLUGIN = DownwardApiVolume()
