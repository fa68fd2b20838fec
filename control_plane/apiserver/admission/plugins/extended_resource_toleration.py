"""ExtendedResourceToleration (off by default): who asks for a device tolerates the nodes kept for it."""

from __future__ import annotations

from control_plane.apiserver.admission.interface import AdmissionRequest, Object, Operation
from control_plane.apiserver.admission.plugin import PODS, Dependencies, Plugin, is_resource
from control_plane.apiserver.admission.pod_resources import is_extended


class ExtendedResourceToleration(Plugin):
    name = "ExtendedResourceToleration"
    concerns = frozenset({PODS})

    def __init__(self, dependencies: Dependencies) -> None:
        pass

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.operation not in (Operation.CREATE, Operation.UPDATE) or request.object is None:
            return
        if not is_resource(request, "", "pods"):
            return
        spec = request.object.setdefault("spec", {})
        tolerations = list(spec.get("tolerations") or ())
        known = {(t.get("key"), t.get("operator"), t.get("effect") or "") for t in tolerations}
        for name in sorted(_extended(spec)):
            if (name, "Exists", "") not in known:
                tolerations.append({"key": name, "operator": "Exists"})
        if tolerations:
            spec["tolerations"] = tolerations


def _extended(spec: Object) -> set[str]:
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    requested = ((c.get("resources") or {}).get("requests") or {} for c in containers)
    return {name for requests in requested for name in requests if is_extended(name)}
