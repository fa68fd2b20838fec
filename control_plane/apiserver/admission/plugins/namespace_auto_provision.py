"""NamespaceAutoProvision (off by default): a namespace that is missing is made."""

from __future__ import annotations

from control_plane.api import errors
from control_plane.apiserver.admission.interface import AdmissionRequest, Operation
from control_plane.apiserver.admission.plugin import Dependencies, Plugin


class NamespaceAutoProvision(Plugin):
    name = "NamespaceAutoProvision"

    def __init__(self, dependencies: Dependencies) -> None:
        self._reader = dependencies.reader
        self._creator = dependencies.creator

    async def mutate(self, request: AdmissionRequest) -> None:
        name = request.namespace
        if request.dry_run or not name or request.operation is not Operation.CREATE:
            return
        if request.resource == "namespaces" or self._reader.get("", "namespaces", "", name) is not None:
            return
        assert self._creator is not None, "NamespaceAutoProvision needs a creator"
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        try:
            await self._creator.create("", "namespaces", namespace)
        except errors.StatusError as error:
            if not errors.is_already_exists(error):
                raise
