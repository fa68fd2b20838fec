"""Pods and pod templates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.api import errors, names
from control_plane.api.validation import containers, metadata, placement, pod_resources, security, volumes
from control_plane.api.validation.registry import Errors, Object, on_create, one_of, problems, spec_of
from control_plane.api.validation.stop_signals import stop_signals

_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_PREEMPTION = ("PreemptLowerPriority", "Never")
_MAX_NAMESERVERS, _MAX_SEARCHES, _MAX_SEARCH_CHARS = 3, 32, 2048
_MAX_DEADLINE_S = 2**31 - 1
_ROLLED_NAMES = ("serviceAccountName", "nodeName", "priorityClassName")


@on_create("pods")
def pod(obj: Object) -> Errors:
    spec = spec_of(obj)
    yield from pod_spec("spec", spec)
    yield from containers.only_in_pods("spec", spec)
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
    yield from pod_resources.pod_level(f"{path}.resources", spec)
    yield from one_of(f"{path}.restartPolicy", spec.get("restartPolicy"), _RESTART_POLICIES)
    yield from one_of(f"{path}.dnsPolicy", spec.get("dnsPolicy"), _DNS_POLICIES)
    yield from _dns_config(f"{path}.dnsConfig", spec.get("dnsConfig"), spec.get("dnsPolicy"))
    yield from _resource_claims(f"{path}.resourceClaims", spec.get("resourceClaims") or [])
    yield from _host_users(path, spec)
    yield from metadata.labels(f"{path}.nodeSelector", spec.get("nodeSelector"))
    yield from _names(path, spec)
    yield from _times(path, spec)
    yield from security.of_pod(f"{path}.securityContext", spec.get("securityContext") or {}, spec)
    yield from security.of_system(path, spec)
    yield from stop_signals(path, spec)
    yield from placement.affinity(f"{path}.affinity", spec.get("affinity") or {})
    yield from placement.tolerations(f"{path}.tolerations", spec.get("tolerations") or [])
    yield from placement.spread(
        f"{path}.topologySpreadConstraints", spec.get("topologySpreadConstraints") or []
    )
    yield from _gates(path, spec)
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        yield from problems(
            f"{path}.hostAliases[{index}].ip", alias.get("ip", ""), names.ip(alias.get("ip", ""))
        )
        for number, host in enumerate(alias.get("hostnames") or ()):
            where = f"{path}.hostAliases[{index}].hostnames[{number}]"
            yield from problems(where, host, names.dns_subdomain(host))
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


def _dns_config(path: str, config: Mapping[str, Any] | None, policy: str | None) -> Errors:
    servers = (config or {}).get("nameservers") or []
    if policy == "None":
        if config is None:
            yield errors.required(path, "must provide `dnsConfig` when `dnsPolicy` is None")
            return
        if not servers:
            why = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            yield errors.required(f"{path}.nameservers", why)
            return
    if config is None:
        return
    if len(servers) > _MAX_NAMESERVERS:
        why = f"must not have more than {_MAX_NAMESERVERS} nameservers"
        yield errors.invalid_value(f"{path}.nameservers", servers, why)
    for index, server in enumerate(servers):
        yield from problems(f"{path}.nameservers[{index}]", server, names.ip(server))
    yield from _searches(f"{path}.searches", config.get("searches") or [])
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            yield errors.required(f"{path}.options[{index}]", "must not be empty")


def _searches(path: str, searches: list[str]) -> Errors:
    if len(searches) > _MAX_SEARCHES:
        yield errors.invalid_value(path, searches, f"must not have more than {_MAX_SEARCHES} search paths")
    if len(" ".join(searches)) > _MAX_SEARCH_CHARS:
        why = f"must not have more than {_MAX_SEARCH_CHARS} characters (including spaces) in the search list"
        yield errors.invalid_value(path, searches, why)
    for index, search in enumerate(searches):
        plain = search.removesuffix(".")
        if search != ".":
            yield from problems(f"{path}[{index}]", plain, names.subdomain_with_underscores(plain))


def _host_users(path: str, spec: Mapping[str, Any]) -> Errors:
    """A user namespace of its own goes with no other namespace of the host's."""
    if spec.get("hostUsers") is not False:
        return
    for key, shown in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
        if spec.get(key):
            yield errors.forbidden_field(f"{path}.{shown}", "when `pod.Spec.HostUsers` is false")


def _resource_claims(path: str, claims: list[Mapping[str, Any]]) -> Errors:
    taken: set[str] = set()
    for index, claim in enumerate(claims):
        where, name = f"{path}[{index}]", claim.get("name", "")
        if not name:
            yield errors.required(f"{where}.name")
        elif name in taken:
            yield errors.duplicate(f"{where}.name", name)
        else:
            yield from problems(f"{where}.name", name, names.dns_label(name))
        taken.add(name)
        keys = ("resourceClaimName", "resourceClaimTemplateName")
        given = [key for key in keys if claim.get(key) is not None]
        if len(given) > 1:
            why = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            yield errors.invalid_value(where, dict(claim), why)
        if not given:
            why = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            yield errors.invalid_value(where, dict(claim), why)
        for key in given:
            yield from problems(f"{where}.{key}", claim[key], names.dns_subdomain(claim[key]))


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
