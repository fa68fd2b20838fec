"""One call of a webhook, from the request to its verdict: what mutating and validating share."""

from __future__ import annotations

import uuid

from control_plane.apiserver.admission.interface import AdmissionRequest
from control_plane.apiserver.admission.plugin import Dependencies
from control_plane.apiserver.admission.policies.conditions import WebhookConditions
from control_plane.apiserver.admission.versions import Versions
from control_plane.apiserver.admission.webhooks import review
from control_plane.apiserver.admission.webhooks.client import Unreachable, WebhookClient
from control_plane.apiserver.admission.webhooks.errors import CallFailed, denied, no_dry_run
from control_plane.apiserver.admission.webhooks.matching import Invocation, Matcher
from control_plane.apiserver.admission.webhooks.measuring import measured


class Asking:
    def __init__(self, dependencies: Dependencies) -> None:
        self.versions = Versions(dependencies.registry)
        self.matcher = Matcher(
            dependencies.reader,
            self.versions,
            WebhookConditions(dependencies.authorizer, dependencies.reader),
        )
        self._client: WebhookClient | None = dependencies.webhooks

    async def ask(self, invocation: Invocation, request: AdmissionRequest, mutating: bool) -> review.Answer:
        """The answer of a webhook that allows the request; its warnings and annotations are noted. Raises
        StatusError for a refusal, CallFailed."""
        webhook = invocation.webhook
        if request.dry_run and not webhook.quiet_on_dry_run:
            raise no_dry_run(webhook.name)
        answer = await measured(
            webhook.name, request, mutating, self._exchange(invocation, request, mutating)
        )
        for key, value in answer.annotations.items():
            request.annotations[f"{webhook.name}/{key}"] = value
        for warning in answer.warnings:
            if warning not in request.warnings:
                request.warnings.append(warning)
        if not answer.allowed:
            raise denied(webhook.name, answer.result)
        return answer

    async def _exchange(
        self, invocation: Invocation, request: AdmissionRequest, mutating: bool
    ) -> review.Answer:
        webhook = invocation.webhook
        version = review.review_version(webhook.review_versions)
        if version is None:
            why = "webhook does not accept known AdmissionReview versions (v1, v1beta1)"
            raise CallFailed(webhook.name, f"could not create admission objects: {why}")
        uid = str(uuid.uuid4())
        sent = await review.review(version, uid, request, self.versions, invocation.view)
        try:
            if self._client is None:
                raise Unreachable("this server calls no webhooks")
            body = await self._client.post(webhook.endpoint, sent, webhook.timeout_s)
            return review.read_answer(body, version, uid, mutating)
        except Unreachable as error:
            raise CallFailed(webhook.name, f"failed to call webhook: {error}") from error
        except review.BadAnswer as error:
            raise CallFailed(webhook.name, f"received invalid webhook response: {error}") from error
