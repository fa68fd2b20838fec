"""DefaultStorageClass and DefaultIngressClass: what names no class gets the one that is marked as default.

When several are marked the newest wins, so that a new default takes over without a gap.
"""

from __future__ import annotations

from collections.abc import Iterable

from control_plane.api import meta
from control_plane.apiserver.admission.interface import AdmissionRequest, Object, Operation
from control_plane.apiserver.admission.plugin import CLAIMS, Dependencies, Plugin, is_resource

STORAGE_DEFAULT = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
INGRESS_DEFAULT = ("ingressclass.kubernetes.io/is-default-class",)
CLAIM_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
INGRESS_CLASS_ANNOTATION = "kubernetes.io/ingress.class"


class DefaultStorageClass(Plugin):
    name = "DefaultStorageClass"
    concerns = frozenset({CLAIMS})

    def __init__(self, dependencies: Dependencies) -> None:
        self._reader = dependencies.reader

    async def mutate(self, request: AdmissionRequest) -> None:
        claim = request.object
        if request.operation is not Operation.CREATE or claim is None:
            return
        if not is_resource(request, "", "persistentvolumeclaims"):
            return
        spec = claim.setdefault("spec", {})
        if spec.get("storageClassName") is not None or CLAIM_CLASS_ANNOTATION in meta.annotations(claim):
            return
        found = default_class(self._reader.list("storage.k8s.io", "storageclasses"), STORAGE_DEFAULT)
        if found is not None:
            spec["storageClassName"] = meta.name_of(found)


class DefaultIngressClass(Plugin):
    name = "DefaultIngressClass"
    concerns = frozenset({("networking.k8s.io", "ingresses")})

    def __init__(self, dependencies: Dependencies) -> None:
        self._reader = dependencies.reader

    async def mutate(self, request: AdmissionRequest) -> None:
        ingress = request.object
        if request.operation is not Operation.CREATE or ingress is None:
            return
        if not is_resource(request, "networking.k8s.io", "ingresses"):
            return
        spec = ingress.setdefault("spec", {})
        if spec.get("ingressClassName") is not None or INGRESS_CLASS_ANNOTATION in meta.annotations(ingress):
            return
        found = default_class(self._reader.list("networking.k8s.io", "ingressclasses"), INGRESS_DEFAULT)
        if found is not None:
            spec["ingressClassName"] = meta.name_of(found)


def default_class(classes: Iterable[Object], annotations: tuple[str, ...]) -> Object | None:
    marked = [c for c in classes if any(meta.annotations(c).get(key) == "true" for key in annotations)]
    marked.sort(key=meta.name_of)
    return max(marked, key=lambda c: meta.metadata(c).get("creationTimestamp") or "", default=None)
