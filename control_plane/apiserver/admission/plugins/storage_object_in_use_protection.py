"""StorageObjectInUseProtection: claims and volumes that are in use get a finalizer that keeps them."""

from __future__ import annotations

from control_plane.api import meta
from control_plane.apiserver.admission.interface import AdmissionRequest, Operation
from control_plane.apiserver.admission.plugin import Dependencies, Plugin

FINALIZERS = {
    ("", "persistentvolumeclaims"): "kubernetes.io/pvc-protection",
    ("", "persistentvolumes"): "kubernetes.io/pv-protection",
    ("storage.k8s.io", "volumeattributesclasses"): "kubernetes.io/vac-protection",
}


class StorageObjectInUseProtection(Plugin):
    name = "StorageObjectInUseProtection"
    concerns = frozenset(FINALIZERS)

    def __init__(self, dependencies: Dependencies) -> None:
        pass

    async def mutate(self, request: AdmissionRequest) -> None:
        finalizer = FINALIZERS.get((request.group, request.resource))
        if finalizer is None or request.subresource or request.operation is not Operation.CREATE:
            return
        assert request.object is not None
        metadata = meta.ensure_metadata(request.object)
        finalizers = metadata.get("finalizers") or []
        if finalizer not in finalizers:
            metadata["finalizers"] = [*finalizers, finalizer]
