"""ValidatingAdmissionWebhook: all webhooks that match at once; the first one configured that refuses is heard."""

from __future__ import annotations

import asyncio

from control_plane.api.errors import StatusError
from control_plane.apiserver.admission import resource_rules
from control_plane.apiserver.admission.interface import AdmissionRequest
from control_plane.apiserver.admission.plugin import Dependencies, Plugin
from control_plane.apiserver.admission.webhooks.asking import Asking
from control_plane.apiserver.admission.webhooks.configuration import Webhooks
from control_plane.apiserver.admission.webhooks.errors import CallFailed
from control_plane.apiserver.admission.webhooks.matching import Invocation
from control_plane.apiserver.admission.webhooks.measuring import FAIL_OPEN
from store.component import logs

log = logs.get("apiserver.admission")


class ValidatingAdmissionWebhook(Plugin):
    name = "ValidatingAdmissionWebhook"

    def __init__(self, dependencies: Dependencies) -> None:
        self._webhooks = Webhooks(dependencies.reader, "validatingwebhookconfigurations")
        self._asking = Asking(dependencies)

    async def validate(self, request: AdmissionRequest) -> None:
        webhooks = self._webhooks.current()
        if not webhooks or resource_rules.is_exempt(request):
            return
        matched = [await self._asking.matcher.match(webhook, request) for webhook in webhooks]
        invocations = [invocation for invocation in matched if invocation is not None]
        if not invocations:
            return
        outcomes = await asyncio.gather(
            *(self._call(invocation, request, index) for index, invocation in enumerate(invocations))
        )
        for refusal in outcomes:
            if refusal is not None:
                raise refusal

    async def _call(
        self, invocation: Invocation, request: AdmissionRequest, index: int
    ) -> StatusError | None:
        webhook = invocation.webhook
        try:
            await self._asking.ask(invocation, request, mutating=False)
        except StatusError as error:
            return error
        except CallFailed as error:
            if not webhook.ignore_failure:
                return error.status()
            log.warning("failed calling webhook, failing open", webhook=webhook.name, reason=error)
            FAIL_OPEN.add((webhook.name, "validating"))
            key = f"failed-open.validating.webhook.admission.k8s.io/round_0_index_{index}"
            request.annotations[key] = webhook.name
        return None
