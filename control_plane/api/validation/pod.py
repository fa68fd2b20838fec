"""Pods and pod templates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.api import errors, names
from control_plane.api.validation import containers, metadata, volumes
from control_plane.api.validation.registry import Errors, Object, on_create, one_of, problems, spec_of

_RESTART_POLICIES = ("Always", "Never", "OnFailure")
_DNS_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
_PREEMPTION = ("Never", "PreemptLowerPriority")
_EFFECTS = ("NoExecute", "NoSchedule", "PreferNoSchedule")
_UNSATISFIABLE = ("DoNotSchedule", "ScheduleAnyway")
_NODE_OPERATORS = ("DoesNotExist", "Exists", "Gt", "In", "Lt", "NotIn")
_MAX_DEADLINE_S = 2**31 - 1
_MAX_ID = 2**31 - 1
_ROLLED_NAMES = ("serviceAccountName", "nodeName", "priorityClassName")


@on_create("pods")
def pod(obj: Object) -> Errors:
    spec = spec_of(obj)
    yield from pod_spec("spec", spec)
    mirror = "kubernetes.io/config.mirror" in ((obj.get("metadata") or {}).get("annotations") or {})
    if mirror and not spec.get("nodeName"):
        yield errors.invalid_value(
            "metadata.annotations[kubernetes.io/config.mirror]",
            "",
            "must set spec.nodeName if mirror pod annotation is set",
        )


@on_create("podtemplates")
def pod_template_object(obj: Object) -> Errors:
    yield from pod_template("template", obj.get("template") or {})


def pod_template(path: str, template: Mapping[str, Any]) -> Errors:
    meta = template.get("metadata") or {}
    yield from metadata.labels(f"{path}.labels", meta.get("labels"))
    yield from metadata.annotations(f"{path}.annotations", meta.get("annotations"))
    yield from pod_spec(f"{path}.spec", template.get("spec") or {})
    if (template.get("spec") or {}).get("ephemeralContainers"):
        yield errors.forbidden_field(
            f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template"
        )


def pod_spec(path: str, spec: Mapping[str, Any]) -> Errors:
    listed = spec.get("volumes") or []
    yield from volumes.volumes(f"{path}.volumes", listed)
    yield from containers.all_containers(path, spec, {volume.get("name", ""): volume for volume in listed})
    yield from one_of(f"{path}.restartPolicy", spec.get("restartPolicy"), _RESTART_POLICIES)
    yield from one_of(f"{path}.dnsPolicy", spec.get("dnsPolicy"), _DNS_POLICIES)
    yield from _dns_config(path, spec)
    yield from metadata.labels(f"{path}.nodeSelector", spec.get("nodeSelector"))
    yield from _names(path, spec)
    yield from _times(path, spec)
    yield from _security(f"{path}.securityContext", spec.get("securityContext") or {}, spec)
    yield from _affinity(f"{path}.affinity", spec.get("affinity") or {})
    yield from tolerations(f"{path}.tolerations", spec.get("tolerations") or [])
    yield from _spread(f"{path}.topologySpreadConstraints", spec.get("topologySpreadConstraints") or [])
    yield from _gates(path, spec)
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        yield from problems(
            f"{path}.hostAliases[{index}].ip", alias.get("ip", ""), names.ip(alias.get("ip", ""))
        )
        for host in alias.get("hostnames") or ():
            yield from problems(f"{path}.hostAliases[{index}].hostnames", host, names.dns_subdomain(host))
    if policy := spec.get("preemptionPolicy"):
        yield from one_of(f"{path}.preemptionPolicy", policy, _PREEMPTION)


def _names(path: str, spec: Mapping[str, Any]) -> Errors:
    for key in _ROLLED_NAMES:
        if value := spec.get(key):
            yield from problems(f"{path}.{key}", value, names.dns_subdomain(value))
    for key in ("hostname", "subdomain"):
        if value := spec.get(key):
            yield from problems(f"{path}.{key}", value, names.dns_label(value))
    if value := spec.get("runtimeClassName"):
        yield from problems(f"{path}.runtimeClassName", value, names.dns_subdomain(value))


def _times(path: str, spec: Mapping[str, Any]) -> Errors:
    deadline_s = spec.get("activeDeadlineSeconds")
    if deadline_s is not None and not 1 <= deadline_s <= _MAX_DEADLINE_S:
        yield errors.invalid_value(
            f"{path}.activeDeadlineSeconds", deadline_s, names.in_range(1, _MAX_DEADLINE_S)
        )


def _dns_config(path: str, spec: Mapping[str, Any]) -> Errors:
    config = spec.get("dnsConfig")
    if spec.get("dnsPolicy") == "None":
        if config is None:
            yield errors.required(f"{path}.dnsConfig", "must provide `dnsConfig` when `dnsPolicy` is None")
        elif not config.get("nameservers"):
            yield errors.required(
                f"{path}.dnsConfig.nameservers",
                "must provide at least one DNS nameserver when `dnsPolicy` is None",
            )
    for index, server in enumerate((config or {}).get("nameservers") or ()):
        yield from problems(f"{path}.dnsConfig.nameservers[{index}]", server, names.ip(server))


def _security(path: str, context: Mapping[str, Any], spec: Mapping[str, Any]) -> Errors:
    for key in ("runAsUser", "runAsGroup", "fsGroup"):
        value = context.get(key)
        if value is not None and not 0 <= value <= _MAX_ID:
            yield errors.invalid_value(f"{path}.{key}", value, names.in_range(0, _MAX_ID))
    yield from _sysctls(f"{path}.sysctls", context.get("sysctls") or [])
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        yield errors.invalid_value(
            f"{path}.shareProcessNamespace", True, "ShareProcessNamespace and HostPID cannot both be enabled"
        )


def _sysctls(path: str, sysctls: list[Mapping[str, Any]]) -> Errors:
    taken: set[str] = set()
    for index, sysctl in enumerate(sysctls):
        where, name = f"{path}[{index}].name", sysctl.get("name", "")
        if not name:
            yield errors.required(where)
        elif found := names.sysctl(name):
            yield from problems(where, name, found)
        elif name in taken:
            yield errors.duplicate(where, name)
        taken.add(name)


def _gates(path: str, spec: Mapping[str, Any]) -> Errors:
    gates = spec.get("schedulingGates") or ()
    if gates and spec.get("nodeName"):
        yield errors.forbidden_field(
            f"{path}.nodeName", "cannot be set until all schedulingGates have been cleared"
        )
    taken: set[str] = set()
    for index, gate in enumerate(gates):
        name = gate.get("name", "")
        yield from problems(f"{path}.schedulingGates[{index}]", name, names.label_key(name))
        if name in taken:
            yield errors.duplicate(f"{path}.schedulingGates[{index}]", name)
        taken.add(name)
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        name = gate.get("conditionType", "")
        yield from problems(f"{path}.readinessGates[{index}].conditionType", name, names.label_key(name))


def tolerations(path: str, listed: list[Mapping[str, Any]]) -> Errors:
    for index, toleration in enumerate(listed):
        where, key = f"{path}[{index}]", toleration.get("key", "")
        operator, effect = toleration.get("operator", ""), toleration.get("effect", "")
        if key:
            yield from problems(f"{where}.key", key, names.label_key(key))
        elif operator != "Exists":
            yield errors.invalid_value(
                f"{where}.operator",
                operator,
                'operator must be Exists when `key` is empty, which means "match all values and all keys"',
            )
        if "tolerationSeconds" in toleration and effect != "NoExecute":
            yield errors.invalid_value(
                f"{where}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"
            )
        if operator == "Exists" and toleration.get("value"):
            yield errors.invalid_value(
                f"{where}.operator", dict(toleration), "value must be empty when `operator` is 'Exists'"
            )
        elif operator in ("", "Equal"):
            yield from problems(
                f"{where}.operator",
                toleration.get("value", ""),
                names.label_value(toleration.get("value", "")),
            )
        elif operator not in ("Exists", "Gt", "Lt"):
            yield errors.not_supported(f"{where}.operator", operator, ("Equal", "Exists"))
        if effect:
            yield from one_of(f"{where}.effect", effect, _EFFECTS)


def _spread(path: str, constraints: list[Mapping[str, Any]]) -> Errors:
    taken: set[tuple[str, str]] = set()
    for index, constraint in enumerate(constraints):
        where = f"{path}[{index}]"
        if constraint.get("maxSkew", 0) <= 0:
            yield errors.invalid_value(
                f"{where}.maxSkew", constraint.get("maxSkew", 0), "must be greater than zero"
            )
        if not constraint.get("topologyKey"):
            yield errors.required(f"{where}.topologyKey", "can not be empty")
        else:
            yield from problems(
                f"{where}.topologyKey", constraint["topologyKey"], names.label_key(constraint["topologyKey"])
            )
        yield from one_of(f"{where}.whenUnsatisfiable", constraint.get("whenUnsatisfiable"), _UNSATISFIABLE)
        pair = (constraint.get("topologyKey", ""), constraint.get("whenUnsatisfiable", ""))
        if pair in taken:
            yield errors.duplicate(f"{where}.{{topologyKey, whenUnsatisfiable}}", f"{{{pair[0]}, {pair[1]}}}")
        taken.add(pair)
        domains = constraint.get("minDomains")
        if domains is not None and domains <= 0:
            yield errors.invalid_value(f"{where}.minDomains", domains, "must be greater than zero")
        yield from metadata.label_selector(f"{where}.labelSelector", constraint.get("labelSelector"))


def _affinity(path: str, affinity: Mapping[str, Any]) -> Errors:
    node = affinity.get("nodeAffinity") or {}
    required = node.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is not None:
        where = f"{path}.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
        if not required.get("nodeSelectorTerms"):
            yield errors.required(f"{where}.nodeSelectorTerms", "must have at least one node selector term")
        for index, term in enumerate(required.get("nodeSelectorTerms") or ()):
            yield from node_selector_term(f"{where}.nodeSelectorTerms[{index}]", term)
    for index, preferred in enumerate(node.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
        where = f"{path}.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[{index}]"
        yield from _weight(where, preferred)
        yield from node_selector_term(f"{where}.preference", preferred.get("preference") or {})
    for kind in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(kind) or {}
        for index, term in enumerate(rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ()):
            yield from _pod_term(
                f"{path}.{kind}.requiredDuringSchedulingIgnoredDuringExecution[{index}]", term
            )
        for index, preferred in enumerate(rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
            where = f"{path}.{kind}.preferredDuringSchedulingIgnoredDuringExecution[{index}]"
            yield from _weight(where, preferred)
            yield from _pod_term(f"{where}.podAffinityTerm", preferred.get("podAffinityTerm") or {})


def _weight(path: str, preferred: Mapping[str, Any]) -> Errors:
    if not 1 <= preferred.get("weight", 0) <= 100:
        yield errors.invalid_value(f"{path}.weight", preferred.get("weight", 0), "must be in the range 1-100")


def _pod_term(path: str, term: Mapping[str, Any]) -> Errors:
    yield from metadata.label_selector(f"{path}.labelSelector", term.get("labelSelector"))
    key = term.get("topologyKey", "")
    if not key:
        yield errors.required(f"{path}.topologyKey", "can not be empty")
    else:
        yield from problems(f"{path}.topologyKey", key, names.label_key(key))


def node_selector_term(path: str, term: Mapping[str, Any]) -> Errors:
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        where = f"{path}.matchExpressions[{index}]"
        operator, values = expression.get("operator", ""), expression.get("values") or []
        if operator in ("In", "NotIn") and not values:
            yield errors.required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist") and values:
            yield errors.forbidden_field(
                f"{where}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            )
        elif operator in ("Gt", "Lt") and len(values) != 1:
            yield errors.required(
                f"{where}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'"
            )
        elif operator not in _NODE_OPERATORS:
            yield errors.invalid_value(f"{where}.operator", operator, "not a valid selector operator")
        yield from problems(
            f"{where}.key", expression.get("key", ""), names.label_key(expression.get("key", ""))
        )
