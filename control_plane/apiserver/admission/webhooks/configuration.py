"""Webhooks as they are configured: read from the watch cache, sorted by configuration, made once per change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from control_plane.api.selectors import LabelSelector, from_label_selector
from control_plane.apiserver.admission.interface import Reader

GROUP = "admissionregistration.k8s.io"
DEFAULT_TIMEOUT_S = 10
DEFAULT_SERVICE_PORT = 443

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Service:
    namespace: str
    name: str
    port: int
    path: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a webhook listens: a URL, or a path of a service."""

    url: str
    service: Service | None
    ca_bundle: str  # base64 of PEM; "" means the host's authorities


@dataclass(frozen=True, slots=True)
class Webhook:
    uid: str  # unique among the webhooks of a kind; two may share a name
    configuration: str
    name: str
    endpoint: Endpoint
    rules: Sequence[Object]
    namespace_selector: LabelSelector
    object_selector: LabelSelector
    match_equivalent: bool
    conditions: Sequence[Mapping[str, str]]
    ignore_failure: bool
    quiet_on_dry_run: bool  # sideEffects are None or NoneOnDryRun
    timeout_s: int
    review_versions: Sequence[str]
    reinvoke: bool


class Webhooks:
    """The webhooks of one kind of configuration."""

    def __init__(self, reader: Reader, resource: str) -> None:
        self._reader = reader
        self._resource = resource
        self._configurations: Sequence[Object] = ()
        self._webhooks: tuple[Webhook, ...] = ()

    def current(self) -> tuple[Webhook, ...]:
        configurations = self._reader.list(GROUP, self._resource)
        if configurations is not self._configurations:
            self._webhooks = tuple(parse(configurations))
            self._configurations = configurations
        return self._webhooks


def parse(configurations: Sequence[Object]) -> list[Webhook]:
    """By the names of the configurations, and in each in the order given."""
    found: list[Webhook] = []
    for configuration in sorted(configurations, key=lambda each: str(each["metadata"]["name"])):
        seen: dict[str, int] = {}
        for webhook in configuration.get("webhooks") or ():
            name = webhook.get("name", "")
            again = seen.get(name, 0)
            seen[name] = again + 1
            found.append(_webhook(configuration["metadata"]["name"], webhook, again))
    return found


def _webhook(configuration: str, webhook: Object, again: int) -> Webhook:
    name = webhook.get("name", "")
    return Webhook(
        uid=f"{configuration}/{name}/{again}",
        configuration=configuration,
        name=name,
        endpoint=_endpoint(webhook.get("clientConfig") or {}),
        rules=webhook.get("rules") or (),
        namespace_selector=from_label_selector(webhook.get("namespaceSelector") or {}),
        object_selector=from_label_selector(webhook.get("objectSelector") or {}),
        match_equivalent=webhook.get("matchPolicy", "Equivalent") == "Equivalent",
        conditions=webhook.get("matchConditions") or (),
        ignore_failure=webhook.get("failurePolicy") == "Ignore",
        quiet_on_dry_run=webhook.get("sideEffects") in ("None", "NoneOnDryRun"),
        timeout_s=webhook.get("timeoutSeconds") or DEFAULT_TIMEOUT_S,
        review_versions=webhook.get("admissionReviewVersions") or (),
        reinvoke=webhook.get("reinvocationPolicy") == "IfNeeded",
    )


def _endpoint(client: Object) -> Endpoint:
    given = client.get("service")
    service = None
    if given:
        path = str(given.get("path") or "")
        service = Service(
            given.get("namespace", ""),
            given.get("name", ""),
            given.get("port") or DEFAULT_SERVICE_PORT,
            path if path.startswith("/") or not path else f"/{path}",
        )
    return Endpoint(client.get("url") or "", service, client.get("caBundle") or "")
