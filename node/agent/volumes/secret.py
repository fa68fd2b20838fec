"""secret: the keys as files, replaced atomically when the object changes."""

from __future__ import annotations

from pathlib import Path

from node.agent.volumes import atomic_writer, cleanup, payload, sources
from node.agent.volumes.interface import Request, Volume


class SecretVolume:
    field = "secret"
    directory = "kubernetes.io~secret"
    changes = True

    async def set_up(self, request: Request) -> Volume:
        source = request.source
        files = await sources.secret(request, source, payload.mode_of(source.get("defaultMode")))
        atomic_writer.write(request.directory, files)
        return Volume(request.directory, read_only=True)

    async def tear_down(self, directory: Path) -> None:
        cleanup.remove(directory)


PLUGIN = SecretVolume()
