"""TaintNodesByCondition: a new node takes no pods until its controller has seen it ready."""

from __future__ import annotations

from control_plane.apiserver.admission.interface import AdmissionRequest, Operation
from control_plane.apiserver.admission.plugin import Dependencies, Plugin, is_resource

NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


class TaintNodesByCondition(Plugin):
    name = "TaintNodesByCondition"
    concerns = frozenset({("", "nodes")})

    def __init__(self, dependencies: Dependencies) -> None:
        pass

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.operation is not Operation.CREATE or not is_resource(request, "", "nodes"):
            return
        assert request.object is not None
        spec = request.object.setdefault("spec", {})
        taints = spec.get("taints") or []
        if not any((t.get("key"), t.get("effect")) == tuple(NOT_READY.values()) for t in taints):
            spec["taints"] = [*taints, dict(NOT_READY)]
