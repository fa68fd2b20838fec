"""Whether a webhook is asked about a request, and in which version it is shown the object."""

from __future__ import annotations

from dataclasses import dataclass

from control_plane.api.errors import StatusError
from control_plane.apiserver.admission import resource_rules, scoping
from control_plane.apiserver.admission.interface import AdmissionRequest, Reader
from control_plane.apiserver.admission.policies.conditions import WebhookConditions
from control_plane.apiserver.admission.versions import Versions, View
from control_plane.apiserver.admission.webhooks.configuration import Webhook


@dataclass(frozen=True, slots=True)
class Invocation:
    webhook: Webhook
    view: View


class Matcher:
    def __init__(self, reader: Reader, versions: Versions, conditions: WebhookConditions) -> None:
        self._reader = reader
        self._versions = versions
        self._equivalents = resource_rules.Equivalents(versions.registry)
        self._conditions = conditions

    async def match(self, webhook: Webhook, request: AdmissionRequest) -> Invocation | None:
        """Raises StatusError when that cannot be told of a webhook whose rules apply."""
        trouble: StatusError | None = None
        try:
            if not await scoping.namespace_matches(webhook.namespace_selector, request, self._reader):
                return None
        except StatusError as error:
            trouble = error
        if not scoping.object_matches(webhook.object_selector, request):
            return None
        gvr = self._matching_resource(webhook, request)
        if gvr is None:
            return None
        if trouble is not None:
            raise trouble
        view = self._versions.view(request, gvr)
        if webhook.conditions and not await self._conditions.hold(
            webhook.conditions, request, self._versions, view, webhook.ignore_failure
        ):
            return None
        return Invocation(webhook, view)

    def _matching_resource(self, webhook: Webhook, request: AdmissionRequest) -> resource_rules.GVR | None:
        equivalents: tuple[resource_rules.GVR, ...] = ()
        if webhook.match_equivalent:
            own = (request.group, request.version, request.resource)
            equivalents = self._equivalents.of(own, request.subresource)
        return resource_rules.matching_resource(webhook.rules, request, equivalents)
