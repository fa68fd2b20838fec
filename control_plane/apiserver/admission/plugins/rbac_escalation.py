"""RBACEscalation: roles and bindings are written only by who holds what they give.

Always in the chain; kube-apiserver has the same check in the storage of these resources.
"""

from __future__ import annotations

from control_plane.apiserver.admission.interface import AdmissionRequest, Operation
from control_plane.apiserver.admission.plugin import Dependencies, Plugin
from control_plane.apiserver.authz.escalation import BINDINGS, ROLES
from control_plane.apiserver.authz.rbac import GROUP


class RBACEscalation(Plugin):
    name = "RBACEscalation"

    def __init__(self, dependencies: Dependencies) -> None:
        self._check = dependencies.escalation

    async def validate(self, request: AdmissionRequest) -> None:
        if self._check is None or request.group != GROUP or request.subresource or request.object is None:
            return
        if request.operation not in (Operation.CREATE, Operation.UPDATE):
            return
        if request.resource in ROLES or request.resource in BINDINGS:
            await self._check.check(
                request.user, request.resource, request.namespace, request.object, request.old_object
            )
