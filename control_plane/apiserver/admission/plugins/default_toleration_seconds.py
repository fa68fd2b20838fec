"""DefaultTolerationSeconds: a pod stays five minutes on a node that is not ready or cannot be reached."""

from __future__ import annotations

from control_plane.apiserver.admission.interface import AdmissionRequest, Object, Operation
from control_plane.apiserver.admission.plugin import PODS, Dependencies, Plugin, is_resource

DEFAULT_SECONDS = 300
TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


class DefaultTolerationSeconds(Plugin):
    name = "DefaultTolerationSeconds"
    concerns = frozenset({PODS})

    def __init__(self, dependencies: Dependencies) -> None:
        pass

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.operation not in (Operation.CREATE, Operation.UPDATE) or request.object is None:
            return
        if is_resource(request, "", "pods"):
            add_default_tolerations(request.object.setdefault("spec", {}))


def add_default_tolerations(spec: Object) -> None:
    tolerations = spec.get("tolerations") or []
    missing = [key for key in TAINTS if not any(_tolerates(t, key) for t in tolerations)]
    if missing:
        added = [
            {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": DEFAULT_SECONDS}
            for key in missing
        ]
        spec["tolerations"] = [*tolerations, *added]


def _tolerates(toleration: Object, key: str) -> bool:
    """Any toleration of the taint counts, whatever its seconds; an empty key or effect means all."""
    return toleration.get("key") in (key, "", None) and toleration.get("effect") in ("NoExecute", "", None)
