"""configMap: the keys as files, replaced atomically when the object changes."""

from __future__ import annotations

from pathlib import Path

from node.agent.volumes import atomic_writer, cleanup, payload, sources
from node.agent.volumes.interface import Request, Volume


class ConfigMapVolume:
    field = "configMap"
    directory = "kubernetes.io~configmap"
    changes = True

    async def set_up(self, request: Request) -> Volume:
        source = request.source
        files = await sources.config_map(request, source, payload.mode_of(source.get("defaultMode")))
        atomic_writer.write(request.directory, files)
        return Volume(request.directory, read_only=True)

    async def tear_down(self, directory: Path) -> None:
        cleanup.remove(directory)


PLUGIN = ConfigMapVolume()
