"""Rights that another server knows (`--authorization-mode=Webhook`): one SubjectAccessReview per question, its
answer remembered for a while. A server that cannot be asked has no opinion: the authorizers after it decide."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from control_plane.apiserver.authz.interface import Attributes, Decision
from control_plane.apiserver.authz.selector_attributes import of_fields, of_labels
from control_plane.apiserver.memory import Memory
from control_plane.apiserver.review_client import Object, ReviewClient, ReviewFailed
from store.component import logs

GROUP = "authorization.k8s.io"
DEFAULT_ALLOWED_TTL_S, DEFAULT_REFUSED_TTL_S = 300.0, 30.0
MAX_REMEMBERED = 8192
MAX_REMEMBERED_CHARS = 10_000  # longer questions are asked each time

log = logs.get("apiserver.authz")


class ConditionsFailed(Exception):
    """Whether a webhook's conditions hold cannot be told."""


class Conditions(Protocol):
    def hold(self, spec: Object) -> bool:
        """Whether the webhook is to be asked about a review of this spec (v1). Raises ConditionsFailed."""


class WebhookAuthorizer:
    def __init__(
        self,
        client: ReviewClient,
        version: str = "v1",
        allowed_ttl_s: float = DEFAULT_ALLOWED_TTL_S,
        refused_ttl_s: float = DEFAULT_REFUSED_TTL_S,
        clock: Callable[[], float] = time.monotonic,
        *,
        denies_on_failure: bool = False,
        conditions: Conditions | None = None,
    ) -> None:
        self._on_failure = Decision.DENY if denies_on_failure else Decision.NO_OPINION
        self._conditions = conditions
        self._client = client
        self._version = version
        self._ttl_s = {True: allowed_ttl_s, False: refused_ttl_s}
        self._known: Memory[tuple[Decision, str]] = Memory(MAX_REMEMBERED, clock)

    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        if self._conditions is not None:
            try:
                if not self._conditions.hold(review_of(attributes, "v1")["spec"]):
                    return Decision.NO_OPINION, ""
            except ConditionsFailed as error:
                log.warning("the conditions of the authorization webhook failed", reason=error)
                return self._on_failure, ""
        review = review_of(attributes, self._version)
        key = repr(review["spec"])
        known = self._known.get(key)
        if known is not None:
            return known
        try:
            status: Object = (await self._client.ask(review))["status"]
        except ReviewFailed as error:
            log.warning("the authorization webhook failed", reason=error)
            return self._on_failure, ""
        answer = _decision(status)
        if len(key) <= MAX_REMEMBERED_CHARS:
            self._known.put(key, answer, self._ttl_s[answer[0] is Decision.ALLOW])
        return answer


def _decision(status: Object) -> tuple[Decision, str]:
    reason = str(status.get("reason") or "")
    if status.get("allowed") and not status.get("denied"):
        return Decision.ALLOW, reason
    return (Decision.DENY if status.get("denied") else Decision.NO_OPINION), reason


def review_of(attributes: Attributes, version: str) -> Object:
    user = attributes.user
    spec: Object = {"user": user.name}
    if user.uid:
        spec["uid"] = user.uid
    if user.groups:
        spec["groups" if version == "v1" else "group"] = list(user.groups)
    if user.extra:
        spec["extra"] = {key: list(values) for key, values in user.extra.items()}
    if attributes.resource:
        about = {
            "namespace": attributes.namespace,
            "verb": attributes.verb,
            "group": attributes.group,
            "version": attributes.version,
            "resource": attributes.resource,
            "subresource": attributes.subresource,
            "name": attributes.name,
        }
        given: Object = {key: value for key, value in about.items() if value}
        if requirements := of_labels(attributes.label_selector):
            given["labelSelector"] = {"requirements": requirements}
        if requirements := of_fields(attributes.field_selector):
            given["fieldSelector"] = {"requirements": requirements}
        spec["resourceAttributes"] = given
    else:
        spec["nonResourceAttributes"] = {"path": attributes.path, "verb": attributes.verb}
    return {"apiVersion": f"{GROUP}/{version}", "kind": "SubjectAccessReview", "spec": spec}
