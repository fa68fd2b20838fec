"""Ingresses and their classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.api import errors, names
from control_plane.api.validation.registry import (
    Errors,
    Object,
    immutable,
    on_create,
    on_update,
    problems,
    spec_of,
)

_CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_BAD_SEQUENCES, _BAD_SUFFIXES = ("//", "/./", "/../", "%2f", "%2F"), ("/..", "/.")
_MAX_CONTROLLER = 250


@on_create("ingresses.networking.k8s.io")
def ingress(obj: Object) -> Errors:
    spec = spec_of(obj)
    rules, default, name = spec.get("rules") or [], spec.get("defaultBackend"), spec.get("ingressClassName")
    if not rules and default is None:
        yield errors.invalid_value("spec", None, "either `defaultBackend` or `rules` must be specified")
    if default is not None:
        yield from _backend("spec.defaultBackend", default)
    for index, rule in enumerate(rules):
        yield from _rule(f"spec.rules[{index}]", rule)
    for index, tls in enumerate(spec.get("tls") or ()):
        for number, host in enumerate(tls.get("hosts") or ()):
            yield from _host(f"spec.tls[{index}].hosts[{number}]", host)
        if secret := tls.get("secretName"):
            yield from problems(f"spec.tls[{index}].secretName", secret, names.dns_subdomain(secret))
    if name is not None:
        yield from problems("spec.ingressClassName", name, names.dns_subdomain(name))
    annotated = ((obj.get("metadata") or {}).get("annotations") or {}).get(_CLASS_ANNOTATION)
    if annotated is not None and name is not None and annotated != name:
        yield errors.invalid_value(
            f"annotations.{_CLASS_ANNOTATION}",
            annotated,
            "must match `ingressClassName` when both are specified",
        )


def _host(path: str, host: str) -> Errors:
    rule = names.wildcard_subdomain if "*" in host else names.dns_subdomain
    yield from problems(path, host, rule(host))


def _rule(path: str, rule: Mapping[str, Any]) -> Errors:
    if host := rule.get("host"):
        if not names.ip(host):
            yield errors.invalid_value(f"{path}.host", host, "must be a DNS name, not an IP address")
        yield from _host(f"{path}.host", host)
    http = rule.get("http")
    if http is None:
        return
    if not http.get("paths"):
        yield errors.required(f"{path}.http.paths")
    for index, item in enumerate(http.get("paths") or ()):
        yield from _path(f"{path}.http.paths[{index}]", item)


def _path(path: str, item: Mapping[str, Any]) -> Errors:
    kind, text = item.get("pathType"), item.get("path", "")
    if not kind:
        yield errors.required(f"{path}.pathType", "pathType must be specified")
        return
    if kind not in _PATH_TYPES:
        yield errors.not_supported(f"{path}.pathType", kind, _PATH_TYPES)
    elif (kind != "ImplementationSpecific" or text) and not text.startswith("/"):
        yield errors.invalid_value(f"{path}.path", text, "must be an absolute path")
    if kind in ("Exact", "Prefix"):
        for sequence in _BAD_SEQUENCES:
            if sequence in text:
                yield errors.invalid_value(f"{path}.path", text, f"must not contain '{sequence}'")
        for suffix in _BAD_SUFFIXES:
            if text.endswith(suffix):
                yield errors.invalid_value(f"{path}.path", text, f"cannot end with '{suffix}'")
    yield from _backend(f"{path}.backend", item.get("backend") or {})


def _backend(path: str, backend: Mapping[str, Any]) -> Errors:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        yield errors.invalid_value(path, "", "cannot set both resource and service backends")
    elif resource is not None:
        yield from _reference(f"{path}.resource", resource)
    elif service is not None:
        yield from _service(path, service)
    else:
        yield errors.invalid_value(path, "", "resource or service backend is required")


def _service(path: str, service: Mapping[str, Any]) -> Errors:
    name, port = service.get("name", ""), service.get("port") or {}
    if not name:
        yield errors.required(f"{path}.service.name")
    else:
        yield from problems(f"{path}.service.name", name, names.dns1035_label(name))
    if port.get("name") and port.get("number"):
        yield errors.invalid_value(path, "", "cannot set both port name & port number")
    elif port.get("name"):
        yield from problems(f"{path}.service.port.name", port["name"], names.port_name(port["name"]))
    elif port.get("number"):
        yield from problems(f"{path}.service.port.number", port["number"], names.port_number(port["number"]))
    else:
        yield errors.required(path, "port name or number is required")


def _reference(path: str, reference: Mapping[str, Any]) -> Errors:
    """To something of this namespace or of none."""
    if group := reference.get("apiGroup"):
        yield from problems(f"{path}.apiGroup", group, names.dns_subdomain(group))
    for key in ("kind", "name"):
        value = reference.get(key, "")
        if not value:
            yield errors.required(f"{path}.{key}", f"{key} is required")
        else:
            yield from problems(f"{path}.{key}", value, names.path_segment(value))


@on_create("ingressclasses.networking.k8s.io")
def ingress_class(obj: Object) -> Errors:
    spec = spec_of(obj)
    controller, reference = spec.get("controller", ""), spec.get("parameters")
    if len(controller) > _MAX_CONTROLLER:
        yield errors.too_long("spec.controller", _MAX_CONTROLLER)
    domain, slash, rest = controller.partition("/")
    if not controller:
        yield errors.required("spec.controller")
    elif not slash or not domain or not rest:
        yield errors.invalid_value(
            "spec.controller", controller, 'must be a domain-prefixed path (such as "acme.io/foo")'
        )
    else:
        yield from problems("spec.controller", domain, names.dns_subdomain(domain))
    if reference is not None:
        yield from _parameters("spec.parameters", reference)


def _parameters(path: str, reference: Mapping[str, Any]) -> Errors:
    yield from _reference(path, reference)
    scope, namespace = reference.get("scope"), reference.get("namespace")
    if scope is None:
        yield errors.required(f"{path}.scope")
    elif scope not in ("Cluster", "Namespace"):
        yield errors.not_supported(f"{path}.scope", scope, ("Cluster", "Namespace"))
    elif scope == "Namespace" and not namespace:
        yield errors.required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'")
    elif scope == "Cluster" and namespace is not None:
        yield errors.forbidden_field(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'")


@on_update("ingressclasses.networking.k8s.io")
def ingress_class_update(new: Object, old: Object) -> Errors:
    yield from immutable("spec.controller", spec_of(new).get("controller"), spec_of(old).get("controller"))
