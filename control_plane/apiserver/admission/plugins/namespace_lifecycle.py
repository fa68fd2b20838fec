"""NamespaceLifecycle: nothing is created in a namespace that is not there or is going; three never go."""

from __future__ import annotations

from control_plane.api import errors
from control_plane.apiserver.admission.interface import AdmissionRequest, Object, Operation
from control_plane.apiserver.admission.plugin import Dependencies, Plugin, forbidden

IMMORTAL = frozenset({"default", "kube-system", "kube-public"})
TERMINATING_CAUSE = "NamespaceTerminating"


class NamespaceLifecycle(Plugin):
    name = "NamespaceLifecycle"

    def __init__(self, dependencies: Dependencies) -> None:
        self._reader = dependencies.reader

    async def mutate(self, request: AdmissionRequest) -> None:
        of_namespace = (request.group, request.resource) == ("", "namespaces")
        if of_namespace and request.operation is Operation.DELETE and request.name in IMMORTAL:
            raise errors.forbidden("", "namespaces", request.name, "this namespace may not be deleted")
        if of_namespace or not request.namespace or request.operation is not Operation.CREATE:
            return
        if (request.group, request.resource) == ("authorization.k8s.io", "localsubjectaccessreviews"):
            return  # an answer would tell which namespaces there are
        namespace = await self._namespace(request.namespace)
        if (namespace.get("status") or {}).get("phase") == "Terminating" or (
            namespace["metadata"].get("deletionTimestamp")
        ):
            raise _terminating(request)

    async def _namespace(self, name: str) -> Object:
        """From the cache, or from the store if it is too new for that. One that is about to go may still look
        alive here; the namespace controller deletes what slipped in."""
        namespace = self._reader.get("", "namespaces", "", name)
        if namespace is None:
            namespace = await self._reader.get_live("", "namespaces", "", name)
        if namespace is None:
            raise errors.not_found("", "namespaces", name)
        return namespace


def _terminating(request: AdmissionRequest) -> errors.StatusError:
    namespace = request.namespace
    error = forbidden(
        request, f"unable to create new content in namespace {namespace} because it is being terminated"
    )
    cause = {
        "reason": TERMINATING_CAUSE,
        "message": f"namespace {namespace} is being terminated",
        "field": "metadata.namespace",
    }
    details = {**(error.details or {}), "causes": [cause]}
    return errors.StatusError(error.code, error.reason, error.message, details)
