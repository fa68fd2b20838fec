"""Which requests a policy is about, and a binding of it; and in which version it sees the object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from control_plane.api.errors import StatusError
from control_plane.apiserver.admission import resource_rules, scoping
from control_plane.apiserver.admission.interface import AdmissionRequest, Reader
from control_plane.apiserver.admission.policies.configuration import Match
from control_plane.apiserver.admission.resource_rules import GVR
from control_plane.apiserver.admission.versions import Versions, View

Object = dict[str, Any]


class Matcher:
    def __init__(self, reader: Reader, versions: Versions) -> None:
        self._reader = reader
        self._versions = versions
        self._equivalents = resource_rules.Equivalents(versions.registry)

    async def view(self, match: Match, request: AdmissionRequest) -> View | None:
        """How a policy sees the request; None when it is not about it. Raises StatusError."""
        gvr = await self._match(match, request)
        return self._versions.view(request, gvr) if gvr is not None else None

    async def applies(self, match: Match | None, request: AdmissionRequest) -> bool:
        """Whether a binding is about the request; one without rules is about what its policy is. Raises
        StatusError."""
        return match is None or await self._match(match, request, all_without_rules=True) is not None

    async def _match(
        self, match: Match, request: AdmissionRequest, all_without_rules: bool = False
    ) -> GVR | None:
        trouble: StatusError | None = None
        try:
            if not await scoping.namespace_matches(match.namespace_selector, request, self._reader):
                return None
        except StatusError as error:
            trouble = error
        if not scoping.object_matches(match.object_selector, request):
            return None
        own = (request.group, request.version, request.resource)
        others = self._equivalents.of(own, request.subresource) if match.equivalent else ()
        if self._named(match.excluded, request, others) is not None:
            return None
        if not match.rules and all_without_rules:
            found: GVR | None = own
        else:
            found = self._named(match.rules, request, others)
        if found is not None and trouble is not None:
            raise trouble
        return found

    def _named(
        self, rules: Sequence[Object], request: AdmissionRequest, equivalents: Sequence[GVR]
    ) -> GVR | None:
        fitting = [
            rule for rule in rules if resource_rules.name_matches(rule.get("resourceNames"), request.name)
        ]
        return resource_rules.matching_resource(fitting, request, equivalents)
