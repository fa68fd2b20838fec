"""Disruption budgets, custom resource definitions, webhooks, API services."""

from __future__ import annotations

from typing import Any

from control_plane.api import errors, names
from control_plane.api.validation import metadata
from control_plane.api.validation.registry import (
    Errors,
    Object,
    on_create,
    one_of,
    problems,
    spec_of,
)
from control_plane.api.validation.workloads import at_most_all, int_or_percent

_ADMISSION = "admissionregistration.k8s.io"
_OPERATIONS = ("*", "CREATE", "UPDATE", "DELETE", "CONNECT")
_MAX_WEBHOOK_TIMEOUT_S = 30


@on_create("poddisruptionbudgets.policy")
def pod_disruption_budget(obj: Object) -> Errors:
    spec = spec_of(obj)
    if "minAvailable" in spec and "maxUnavailable" in spec:
        yield errors.invalid_value("spec", spec, "minAvailable and maxUnavailable cannot be both set")
    for key in ("minAvailable", "maxUnavailable"):
        if key in spec:
            yield from int_or_percent(f"spec.{key}", spec[key])
            yield from at_most_all(f"spec.{key}", spec[key])
    yield from metadata.label_selector("spec.selector", spec.get("selector"))
    if policy := spec.get("unhealthyPodEvictionPolicy"):
        yield from one_of("spec.unhealthyPodEvictionPolicy", policy, ("AlwaysAllow", "IfHealthyBudget"))


@on_create(f"validatingwebhookconfigurations.{_ADMISSION}", f"mutatingwebhookconfigurations.{_ADMISSION}")
def webhooks(obj: Object) -> Errors:
    taken: set[str] = set()
    for index, webhook in enumerate(obj.get("webhooks") or ()):
        path, name = f"webhooks[{index}]", webhook.get("name", "")
        if not name:
            yield errors.required(f"{path}.name")
        else:
            yield from problems(f"{path}.name", name, names.dns_subdomain(name))
            if len(name.split(".")) < 3:
                yield errors.invalid_value(
                    f"{path}.name", name, "should be a domain with at least three segments separated by dots"
                )
            if name in taken:
                yield errors.duplicate(f"{path}.name", name)
            taken.add(name)
        yield from _webhook(path, webhook)


def _webhook(path: str, webhook: dict[str, Any]) -> Errors:
    if not webhook.get("admissionReviewVersions"):
        yield errors.required(f"{path}.admissionReviewVersions", "must specify one of v1, v1beta1")
    elif not {"v1", "v1beta1"} & set(webhook["admissionReviewVersions"]):
        yield errors.invalid_value(
            f"{path}.admissionReviewVersions",
            webhook["admissionReviewVersions"],
            "must include at least one of v1, v1beta1",
        )
    effects = webhook.get("sideEffects")
    if effects not in ("None", "NoneOnDryRun"):
        yield (
            errors.required(f"{path}.sideEffects", "must specify one of None, NoneOnDryRun")
            if not effects
            else errors.not_supported(f"{path}.sideEffects", effects, ("None", "NoneOnDryRun"))
        )
    yield from one_of(f"{path}.failurePolicy", webhook.get("failurePolicy"), ("Fail", "Ignore"))
    yield from one_of(f"{path}.matchPolicy", webhook.get("matchPolicy"), ("Equivalent", "Exact"))
    timeout_s = webhook.get("timeoutSeconds")
    if timeout_s is not None and not 1 <= timeout_s <= _MAX_WEBHOOK_TIMEOUT_S:
        yield errors.invalid_value(
            f"{path}.timeoutSeconds",
            timeout_s,
            f"the timeout value must be between 1 and {_MAX_WEBHOOK_TIMEOUT_S} seconds",
        )
    client = webhook.get("clientConfig") or {}
    if ("url" in client) == ("service" in client):
        yield errors.required(f"{path}.clientConfig", "exactly one of url or service is required")
    for index, rule in enumerate(webhook.get("rules") or ()):
        where = f"{path}.rules[{index}]"
        for key in ("operations", "apiGroups", "apiVersions", "resources"):
            if not rule.get(key):
                yield errors.required(f"{where}.{key}")
        for number, operation in enumerate(rule.get("operations") or ()):
            yield from one_of(f"{where}.operations[{number}]", operation, _OPERATIONS)
    for key in ("namespaceSelector", "objectSelector"):
        yield from metadata.label_selector(f"{path}.{key}", webhook.get(key))


@on_create("apiservices.apiregistration.k8s.io")
def api_service(obj: Object) -> Errors:
    spec, name = spec_of(obj), (obj.get("metadata") or {}).get("name", "")
    group, version = spec.get("group", ""), spec.get("version", "")
    expected = f"{version}.{group}"
    if name != expected and not (not group and name == f"{version}."):
        yield errors.invalid_value(
            "metadata.name", name, f'must be `spec.version+"."+spec.group`: {errors.quote(expected)}'
        )
    if not version:
        yield errors.required("spec.version")
    for key in ("groupPriorityMinimum", "versionPriority"):
        value, limit = spec.get(key, 0), 20000 if key == "groupPriorityMinimum" else 1000
        if not 0 < value <= limit:
            yield errors.invalid_value(f"spec.{key}", value, f"must be positive and less than {limit}")
    service = spec.get("service")
    if service is None:
        if spec.get("caBundle"):
            yield errors.invalid_value(
                "spec.caBundle", f"{len(spec['caBundle'])} bytes", "local APIServices may not have a caBundle"
            )
        return
    for key in ("namespace", "name"):
        if not service.get(key):
            yield errors.required(f"spec.service.{key}")
    if spec.get("insecureSkipTLSVerify") and spec.get("caBundle"):
        yield errors.invalid_value(
            "spec.insecureSkipTLSVerify", True, "may not be true if caBundle is present"
        )
