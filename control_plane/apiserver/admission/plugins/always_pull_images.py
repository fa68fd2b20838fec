"""AlwaysPullImages (off by default): nobody uses an image that only another tenant may pull."""

from __future__ import annotations

from collections.abc import Iterator

from control_plane.api import errors
from control_plane.apiserver.admission.interface import AdmissionRequest, Object, Operation
from control_plane.apiserver.admission.plugin import PODS, Dependencies, Plugin

LISTS = ("initContainers", "containers", "ephemeralContainers")


class AlwaysPullImages(Plugin):
    name = "AlwaysPullImages"
    concerns = frozenset({PODS})

    def __init__(self, dependencies: Dependencies) -> None:
        pass

    async def mutate(self, request: AdmissionRequest) -> None:
        if _concerns(request):
            for _, container in _containers(request.object):
                container["imagePullPolicy"] = "Always"

    async def validate(self, request: AdmissionRequest) -> None:
        if not _concerns(request):
            return
        found = [
            errors.not_supported(f"{where}.imagePullPolicy", container.get("imagePullPolicy", ""), ["Always"])
            for where, container in _containers(request.object)
            if container.get("imagePullPolicy") != "Always"
        ]
        if found:
            raise errors.invalid("", "Pod", request.name, found)


def _concerns(request: AdmissionRequest) -> bool:
    if (request.group, request.resource) != ("", "pods") or request.object is None:
        return False
    return request.operation in (Operation.CREATE, Operation.UPDATE) and (
        request.subresource in ("", "ephemeralcontainers")
    )


def _containers(pod: Object | None) -> Iterator[tuple[str, Object]]:
    spec = (pod or {}).get("spec") or {}
    for field in LISTS:
        for index, container in enumerate(spec.get(field) or ()):
            yield f"spec.{field}[{index}]", container
