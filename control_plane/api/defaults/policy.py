"""Namespaces, nodes, limits, access control, admission and extension of the API."""

from __future__ import annotations

from control_plane.api.defaults.registry import Object, defaults, each, fill, struct

_RBAC = "rbac.authorization.k8s.io"
_SUBJECT_GROUPS = {"User": _RBAC, "Group": _RBAC}
_WEBHOOK = {"failurePolicy": "Fail", "matchPolicy": "Equivalent", "timeoutSeconds": 10}
_SELECTORS: dict[str, Object] = {"namespaceSelector": {}, "objectSelector": {}}


@defaults("v1", "Namespace")
def namespace(obj: Object) -> None:
    metadata = struct(obj, "metadata")
    if name := metadata.get("name"):
        metadata["labels"] = {"kubernetes.io/metadata.name": name, **(metadata.get("labels") or {})}
    fill(struct(obj, "status"), {"phase": "Active"})


@defaults("v1", "Node")
def node(obj: Object) -> None:
    status = struct(obj, "status")
    if status.get("capacity") and not status.get("allocatable"):
        status["allocatable"] = dict(status["capacity"])


@defaults("v1", "LimitRange")
def limit_range(obj: Object) -> None:
    for item in each(struct(obj, "spec"), "limits"):
        if item.get("type") != "Container":
            continue
        limits = {**(item.get("max") or {}), **(item.get("default") or {})}
        requests = {**(item.get("min") or {}), **limits, **(item.get("defaultRequest") or {})}
        if limits:
            item["default"] = limits
        if requests:
            item["defaultRequest"] = requests


@defaults(f"{_RBAC}/v1", "RoleBinding", "ClusterRoleBinding")
def role_binding(obj: Object) -> None:
    fill(struct(obj, "roleRef"), {"apiGroup": _RBAC})
    for subject in each(obj, "subjects"):
        if group := _SUBJECT_GROUPS.get(subject.get("kind", "")):
            fill(subject, {"apiGroup": group})


@defaults("scheduling.k8s.io/v1", "PriorityClass")
def priority_class(obj: Object) -> None:
    fill(obj, {"preemptionPolicy": "PreemptLowerPriority"})


@defaults("authentication.k8s.io/v1", "TokenRequest")
def token_request(obj: Object) -> None:
    fill(struct(obj, "spec"), {"expirationSeconds": 3600})


@defaults("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
def webhooks(obj: Object) -> None:
    for webhook in each(obj, "webhooks"):
        fill(webhook, _WEBHOOK)
        fill(webhook, _SELECTORS)
        if obj.get("kind") == "MutatingWebhookConfiguration":
            fill(webhook, {"reinvocationPolicy": "Never"})
        service = (webhook.get("clientConfig") or {}).get("service")
        if service is not None:
            fill(service, {"port": 443})
        for rule in each(webhook, "rules"):
            fill(rule, {"scope": "*"})


@defaults("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", "MutatingAdmissionPolicy")
def admission_policy(obj: Object) -> None:
    spec = struct(obj, "spec")
    fill(spec, {"failurePolicy": "Fail"})
    _match_resources(spec.get("matchConstraints"))


@defaults(
    "admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicyBinding"
)
def admission_policy_binding(obj: Object) -> None:
    _match_resources(struct(obj, "spec").get("matchResources"))


def _match_resources(match: Object | None) -> None:
    if match is None:
        return
    fill(match, {"matchPolicy": "Equivalent"})
    fill(match, _SELECTORS)
    for rule in each(match, "resourceRules", "excludeResourceRules"):
        fill(rule, {"scope": "*"})


@defaults("apiextensions.k8s.io/v1", "CustomResourceDefinition")
def custom_resource_definition(obj: Object) -> None:
    spec = struct(obj, "spec")
    names = struct(spec, "names")
    if kind := names.get("kind"):
        fill(names, {"singular": kind.lower(), "listKind": f"{kind}List"})
    conversion = struct(spec, "conversion")
    fill(conversion, {"strategy": "None"})
    service = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
    if service is not None:
        fill(service, {"port": 443})


@defaults("apiregistration.k8s.io/v1", "APIService")
def api_service(obj: Object) -> None:
    service = struct(obj, "spec").get("service")
    if service is not None:
        fill(service, {"port": 443})


@defaults("flowcontrol.apiserver.k8s.io/v1", "FlowSchema")
def flow_schema(obj: Object) -> None:
    spec = struct(obj, "spec")
    if not spec.get("matchingPrecedence"):
        spec["matchingPrecedence"] = 1000


@defaults("flowcontrol.apiserver.k8s.io/v1", "PriorityLevelConfiguration")
def priority_level(obj: Object) -> None:
    spec = struct(obj, "spec")
    if spec.get("type") == "Exempt":
        fill(struct(spec, "exempt"), {"nominalConcurrencyShares": 0, "lendablePercent": 0})
    limited = spec.get("limited")
    if limited is None:
        return
    fill(limited, {"nominalConcurrencyShares": 30, "lendablePercent": 0})
    queuing = (limited.get("limitResponse") or {}).get("queuing")
    if queuing is not None:
        for key, value in {"queues": 64, "handSize": 8, "queueLengthLimit": 50}.items():
            if not queuing.get(key):
                queuing[key] = value


@defaults("resource.k8s.io/v1beta2", "ResourceClaim")
@defaults("resource.k8s.io/v1", "ResourceClaim")
def resource_claim(obj: Object) -> None:
    _device_requests(struct(obj, "spec"))


@defaults("resource.k8s.io/v1beta2", "ResourceClaimTemplate")
@defaults("resource.k8s.io/v1", "ResourceClaimTemplate")
def resource_claim_template(obj: Object) -> None:
    _device_requests(struct(struct(obj, "spec"), "spec"))


def _device_requests(spec: Object) -> None:
    for request in each(struct(spec, "devices"), "requests"):
        for exact in [request.get("exactly"), *(request.get("firstAvailable") or ())]:
            if exact is None:
                continue
            fill(exact, {"allocationMode": "ExactCount"})
            if exact["allocationMode"] == "ExactCount" and not exact.get("count"):
                exact["count"] = 1
