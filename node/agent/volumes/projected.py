"""projected: several sources in one directory, among them the pod's own service-account token.

The token is renewed at 80 % of its life: `renew_at_s` says when this volume wants to be set up again.
"""

from __future__ import annotations

from pathlib import Path

from node.agent.errors import VolumeError
from node.agent.tokens import DEFAULT_LIFE_S
from node.agent.volumes import atomic_writer, cleanup, payload, sources
from node.agent.volumes.interface import Request, Volume
from node.agent.volumes.payload import File, Payload


class ProjectedVolume:
    field = "projected"
    directory = "kubernetes.io~projected"
    changes = True

    async def set_up(self, request: Request) -> Volume:
        mode = payload.mode_of(request.source.get("defaultMode"))
        files: Payload = {}
        renew_at_s: float | None = None
        for source in request.source.get("sources") or []:
            if "serviceAccountToken" in source:
                part, due_s = await _token(request, source["serviceAccountToken"], mode)
                renew_at_s = due_s if renew_at_s is None else min(renew_at_s, due_s)
            else:
                part = await _part(request, source, mode)
            files |= part
        atomic_writer.write(request.directory, files)
        return Volume(request.directory, read_only=True, renew_at_s=renew_at_s)

    async def tear_down(self, directory: Path) -> None:
        cleanup.remove(directory)


async def _part(request: Request, source: dict[str, dict[str, object]], mode: int) -> Payload:
    if "configMap" in source:
        return await sources.config_map(request, source["configMap"], mode)
    if "secret" in source:
        return await sources.secret(request, source["secret"], mode)
    if "downwardAPI" in source:
        return sources.downward_api(request, source["downwardAPI"], mode)
    raise VolumeError(f"unsupported source of a projected volume: {', '.join(source) or 'none'}")


async def _token(request: Request, source: dict[str, object], mode: int) -> tuple[Payload, float]:
    audience = str(source.get("audience") or "")
    life_s = int(str(source.get("expirationSeconds") or DEFAULT_LIFE_S))
    token = await request.services.token(request.pod, audience, life_s)
    path = payload.clean(str(source["path"]))
    return {path: File(token.value.encode(), mode)}, token.renew_at_s


PLUGIN = ProjectedVolume()
