"""OwnerReferencesPermissionEnforcement (off by default).

Who sets an owner decides when the object is deleted, so needs the right to delete it; who blocks the owner's
deletion needs the right to update the owner's finalizers.
"""

from __future__ import annotations

from control_plane.api import meta
from control_plane.apiserver.admission.interface import AdmissionRequest, Object, Operation
from control_plane.apiserver.admission.plugin import Dependencies, Plugin, forbidden
from control_plane.apiserver.authz.interface import Attributes, Decision


class OwnerReferencesPermissionEnforcement(Plugin):
    name = "OwnerReferencesPermissionEnforcement"

    def __init__(self, dependencies: Dependencies) -> None:
        self._authorizer = dependencies.authorizer
        self._resource_of_kind = dependencies.resource_of_kind

    async def validate(self, request: AdmissionRequest) -> None:
        if request.operation not in (Operation.CREATE, Operation.UPDATE) or request.object is None:
            return
        new = meta.owner_references(request.object)
        old = meta.owner_references(request.old_object or {})
        if new == old:
            return
        if not await self._allowed(request, "delete", request.group, request.resource, request.name):
            raise forbidden(request, "cannot set an ownerRef on a resource you can't delete: ")
        for owner in newly_blocking(new, old):
            await self._check_finalizers(request, owner)

    async def _check_finalizers(self, request: AdmissionRequest, owner: Object) -> None:
        group, _ = meta.group_version(owner.get("apiVersion", ""))
        resource = self._resource_of_kind(group, owner.get("kind", ""))
        allowed = resource is not None and await self._allowed(
            request, "update", group, resource, owner.get("name", ""), "finalizers"
        )
        if not allowed:
            raise forbidden(
                request,
                "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set "
                "finalizers on: ",
            )

    async def _allowed(
        self,
        request: AdmissionRequest,
        verb: str,
        group: str,
        resource: str,
        name: str,
        subresource: str = "",
    ) -> bool:
        asked = Attributes(
            request.user, verb, group, "*", resource, subresource, namespace=request.namespace, name=name
        )
        return (await self._authorizer.authorize(asked))[0] is Decision.ALLOW


def newly_blocking(new: list[Object], old: list[Object]) -> list[Object]:
    """The owners that did not block deletion before and do now."""
    blocking = {owner.get("uid") for owner in old if owner.get("blockOwnerDeletion")}
    return [o for o in new if o.get("blockOwnerDeletion") and o.get("uid") not in blocking]
