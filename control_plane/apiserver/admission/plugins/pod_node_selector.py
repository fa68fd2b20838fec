"""PodNodeSelector (off by default): a namespace's annotation says on which nodes its pods may run."""

from __future__ import annotations

from control_plane.api import meta
from control_plane.apiserver.admission.interface import AdmissionRequest, Operation
from control_plane.apiserver.admission.plugin import PODS, Dependencies, Plugin, forbidden, is_resource

ANNOTATION = "scheduler.alpha.kubernetes.io/node-selector"


class PodNodeSelector(Plugin):
    name = "PodNodeSelector"
    concerns = frozenset({PODS})

    def __init__(self, dependencies: Dependencies) -> None:
        self._reader = dependencies.reader

    async def mutate(self, request: AdmissionRequest) -> None:
        wanted = self._wanted(request)
        if wanted:
            assert request.object is not None
            spec = request.object.setdefault("spec", {})
            spec["nodeSelector"] = {**(spec.get("nodeSelector") or {}), **wanted}

    async def validate(self, request: AdmissionRequest) -> None:
        self._wanted(request)

    def _wanted(self, request: AdmissionRequest) -> dict[str, str]:
        if request.operation is not Operation.CREATE or not is_resource(request, "", "pods"):
            return {}
        namespace = self._reader.get("", "namespaces", "", request.namespace)
        if namespace is None:
            return {}
        wanted = parse_selector(meta.annotations(namespace).get(ANNOTATION, ""))
        if wanted is None:
            raise forbidden(request, f"the annotation {ANNOTATION} of the namespace cannot be parsed")
        present = ((request.object or {}).get("spec") or {}).get("nodeSelector") or {}
        if any(present.get(key, value) != value for key, value in wanted.items()):
            raise forbidden(
                request, "pod node label selector conflicts with its namespace node label selector"
            )
        return wanted


def parse_selector(text: str) -> dict[str, str] | None:
    """`a=b,c=d`; None if it is something else."""
    found: dict[str, str] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        key, equals, value = part.partition("=")
        if not equals:
            return None
        found[key.strip()] = value.strip()
    return found
