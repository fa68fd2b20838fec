"""PersistentVolumeClaimResize: a claim grows only if it is bound and its class allows it."""

from __future__ import annotations

from control_plane.api import meta, quantity
from control_plane.apiserver.admission.interface import AdmissionRequest, Object, Operation
from control_plane.apiserver.admission.plugin import CLAIMS, Dependencies, Plugin, forbidden, is_resource


class PersistentVolumeClaimResize(Plugin):
    name = "PersistentVolumeClaimResize"
    concerns = frozenset({CLAIMS})

    def __init__(self, dependencies: Dependencies) -> None:
        self._reader = dependencies.reader

    async def validate(self, request: AdmissionRequest) -> None:
        if request.operation is not Operation.UPDATE or not is_resource(
            request, "", "persistentvolumeclaims"
        ):
            return
        new, old = request.object or {}, request.old_object or {}
        if _requested(new) <= _requested(old):
            return
        if (old.get("status") or {}).get("phase") != "Bound":
            raise forbidden(request, "Only bound persistent volume claims can be expanded")
        if not self._can_grow(new):
            raise forbidden(
                request,
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc "
                "must support resize",
            )

    def _can_grow(self, claim: Object) -> bool:
        name = (claim.get("spec") or {}).get("storageClassName")
        found = self._reader.get("storage.k8s.io", "storageclasses", "", name) if name else None
        return bool(found and found.get("allowVolumeExpansion"))


def _requested(claim: Object) -> quantity.Quantity:
    return quantity.parse_or_zero(meta.nested(claim, "spec", "resources", "requests", "storage"))
