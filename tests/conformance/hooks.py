"""Webhooks that run beside the cluster, for the objects of one test's namespace."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any

from tests.conformance import crds
from tests.conformance.client import ApiError, Client, Resource
from tests.control_plane.apiserver.webhook_server import WebhookServer

Object = dict[str, Any]
VERSION = "admissionregistration.k8s.io/v1"


def rule(group: str, version: str, resource: str, *operations: str) -> Object:
    return {
        "operations": list(operations or ("CREATE",)),
        "apiGroups": [group],
        "apiVersions": [version],
        "resources": [resource],
    }


@dataclass
class Hooks:
    """The configurations of one test, for the objects of its namespace alone."""

    client: Client
    server: WebhookServer
    namespace: str
    label: str
    made: list[tuple[Resource, str]] = field(default_factory=list)

    def of(self, mutating: bool) -> Resource:
        kind = "MutatingWebhookConfiguration" if mutating else "ValidatingWebhookConfiguration"
        return self.client.of(VERSION, f"{kind.lower()}s", kind)

    def hook(self, *rules: Object, path: str = "/x", everywhere: bool = False, **more: Any) -> Object:
        selector = {} if everywhere else {"namespaceSelector": {"matchLabels": {self.label: "true"}}}
        return {
            "name": "hook.example.com",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1", "v1beta1"],
            "clientConfig": self.server.client(path),
            "rules": list(rules),
            "timeoutSeconds": 10,
            **selector,
            **more,
        }

    def register(self, mutating: bool, *hooks: Object, **metadata: Any) -> Object:
        of = self.of(mutating)
        made = of.create({"metadata": {"name": crds.unique("hooks"), **metadata}, "webhooks": list(hooks)})
        self.made.append((of, made["metadata"]["name"]))
        return made

    def remove(self) -> None:
        for of, name in self.made:
            with contextlib.suppress(ApiError):
                of.delete(name)

    def maps(self) -> Resource:
        return self.client.of("v1", "configmaps", "ConfigMap", self.namespace)


def allowed(of: Resource, obj: Object) -> Object | None:
    """The object as it would be created; None if it was refused."""
    try:
        return of.create(obj, dryRun="All")
    except ApiError:
        return None


def config_map(**data: str) -> Object:
    return {"metadata": {"generateName": "cm-"}, "data": data}
