"""RuntimeClass: a pod of a class gets its overhead, node selector and tolerations."""

from __future__ import annotations

from control_plane.api import quantity
from control_plane.apiserver.admission.interface import AdmissionRequest, Object, Operation
from control_plane.apiserver.admission.plugin import PODS, Dependencies, Plugin, forbidden, is_resource


class RuntimeClass(Plugin):
    name = "RuntimeClass"
    concerns = frozenset({PODS})

    def __init__(self, dependencies: Dependencies) -> None:
        self._reader = dependencies.reader

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.operation is not Operation.CREATE or not is_resource(request, "", "pods"):
            return
        spec = (request.object or {}).get("spec") or {}
        found = await self._find(request, spec)
        if found is None:
            return
        overhead = (found.get("overhead") or {}).get("podFixed") or {}
        if overhead:
            if spec.get("overhead") and not _equal(spec["overhead"], overhead):
                raise forbidden(
                    request, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
                )
            spec["overhead"] = dict(overhead)
        _merge_scheduling(request, spec, found.get("scheduling") or {})

    async def validate(self, request: AdmissionRequest) -> None:
        if request.operation is not Operation.CREATE or not is_resource(request, "", "pods"):
            return
        spec = (request.object or {}).get("spec") or {}
        found = await self._find(request, spec)
        defined = ((found or {}).get("overhead") or {}).get("podFixed")
        if spec.get("overhead") and not defined:
            raise forbidden(
                request, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
            )

    async def _find(self, request: AdmissionRequest, spec: Object) -> Object | None:
        name = spec.get("runtimeClassName")
        if not name:
            return None
        found = await self._reader.get_live(
            "node.k8s.io", "runtimeclasses", "", name
        )  # a deleted one is none
        if found is None:
            raise forbidden(request, f'pod rejected: RuntimeClass "{name}" not found')
        return found


def _merge_scheduling(request: AdmissionRequest, spec: Object, scheduling: Object) -> None:
    selector = dict(spec.get("nodeSelector") or {})
    for key, value in (scheduling.get("nodeSelector") or {}).items():
        if selector.get(key, value) != value:
            raise forbidden(
                request,
                f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                f"pod.spec.nodeSelector[{key}] = {selector[key]}",
            )
        selector[key] = value
    if selector:
        spec["nodeSelector"] = selector
    tolerations = list(spec.get("tolerations") or ())
    tolerations += [t for t in scheduling.get("tolerations") or () if t not in tolerations]
    if tolerations:
        spec["tolerations"] = tolerations


def _equal(one: Object, other: Object) -> bool:
    return one.keys() == other.keys() and all(
        quantity.parse_or_zero(one[name]) == quantity.parse_or_zero(other[name]) for name in one
    )
