"""Containers: names, images, ports, environment, resources, security."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from control_plane.api import errors, names
from control_plane.api.validation import environment, mounts, resources, security
from control_plane.api.validation.handlers import probes_and_hooks
from control_plane.api.validation.registry import Errors, each_container, one_of, problems

_PROTOCOLS = ("SCTP", "TCP", "UDP")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_RESIZE_RESOURCES, _RESIZE_POLICIES = ("cpu", "memory"), ("NotRequired", "RestartContainer")
_NOT_EPHEMERAL = (
    "ports", "resources", "lifecycle", "livenessProbe", "readinessProbe", "startupProbe", "resizePolicy", "restartPolicy",
)  # fmt: skip
_NOT_FOR_EPHEMERAL = "cannot be set for an Ephemeral Container"
_NOT_FOR_INIT = "may not be set for init containers without restartPolicy=Always"

Container = Mapping[str, Any]


def all_containers(path: str, spec: Mapping[str, Any], volumes: Mapping[str, Any]) -> Errors:
    """All of them share one space of names."""
    taken: set[str] = set()
    listed, grace_s = spec.get("containers") or [], spec.get("terminationGracePeriodSeconds")
    if not listed:
        yield errors.required(f"{path}.containers")
    for index, container in enumerate(listed):
        where = f"{path}.containers[{index}]"
        yield from _container(where, container, spec, volumes, taken)
        yield from probes_and_hooks(where, container, grace_s)
        yield from _restart_policy(where, container)
    for key in ("containers", "initContainers"):
        yield from _host_ports(f"{path}.{key}", spec.get(key) or (), bool(spec.get("hostNetwork")))
    for index, container in enumerate(spec.get("initContainers") or ()):
        where = f"{path}.initContainers[{index}]"
        yield from _container(where, container, spec, volumes, taken)
        yield from _restart_policy(where, container)
        yield from _init_container(where, container, grace_s)
    known = set(taken)
    for index, container in enumerate(spec.get("ephemeralContainers") or ()):
        where = f"{path}.ephemeralContainers[{index}]"
        yield from _container(where, container, spec, volumes, taken)
        yield from _ephemeral(where, container, known)


def only_in_pods(path: str, spec: Mapping[str, Any]) -> Errors:
    """What a template may say, and a pod not."""
    for where, container in each_container(path, spec):
        image = container.get("image", "")
        if image != image.strip():
            why = "must not have leading or trailing whitespace"
            yield errors.invalid_value(f"{where}.image", image, why)


def _container(
    path: str, container: Container, spec: Mapping[str, Any], volumes: Mapping[str, Any], taken: set[str]
) -> Errors:
    name = container.get("name", "")
    if not name:
        yield errors.required(f"{path}.name")
    else:
        yield from problems(f"{path}.name", name, names.dns_label(name))
        if name in taken:
            yield errors.duplicate(f"{path}.name", name)
        taken.add(name)
    if not container.get("image"):
        yield errors.required(f"{path}.image")
    if container.get("terminationMessagePolicy"):
        yield from one_of(
            f"{path}.terminationMessagePolicy", container["terminationMessagePolicy"], _MESSAGE_POLICIES
        )
    yield from _ports(f"{path}.ports", container.get("ports") or [])
    for index, variable in enumerate(container.get("env") or ()):
        yield from environment.variable(f"{path}.env[{index}]", variable)
    for index, source in enumerate(container.get("envFrom") or ()):
        yield from environment.env_from(f"{path}.envFrom[{index}]", source)
    yield from mounts.mounts(f"{path}.volumeMounts", container, volumes)
    yield from mounts.devices(f"{path}.volumeDevices", container, volumes)
    yield from one_of(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), _PULL_POLICIES)
    yield from resources.requirements(f"{path}.resources", container.get("resources") or {})
    yield from _claims(f"{path}.resources.claims", container, spec)
    yield from _resize(f"{path}.resizePolicy", container.get("resizePolicy") or [], spec.get("restartPolicy"))
    yield from security.of_container(f"{path}.securityContext", container.get("securityContext") or {}, spec)


def _claims(path: str, container: Container, spec: Mapping[str, Any]) -> Errors:
    """What it uses of the pod's resource claims."""
    known = {claim.get("name") for claim in spec.get("resourceClaims") or ()}
    taken: set[tuple[str, str]] = set()
    for index, claim in enumerate((container.get("resources") or {}).get("claims") or ()):
        where, name, request = f"{path}[{index}]", claim.get("name", ""), claim.get("request", "")
        if not name:
            yield errors.required(f"{where}.name")
            continue
        if (name, request) in taken or ((name, "") in taken):
            yield errors.duplicate(where, f"{name}/{request}" if request else name)
        taken.add((name, request))
        if name not in known:
            yield errors.not_found_field(f"{where}.name", name)


def _resize(path: str, policies: Sequence[Mapping[str, Any]], restart: str | None) -> Errors:
    taken: set[str] = set()
    for index, policy in enumerate(policies):
        name, how = policy.get("resourceName", ""), policy.get("restartPolicy", "")
        if name in taken:
            yield errors.duplicate(f"{path}[{index}]", name)
        taken.add(name)
        yield from one_of(path, name, _RESIZE_RESOURCES)
        yield from one_of(path, how, _RESIZE_POLICIES)
        if restart == "Never" and how != "NotRequired":
            yield errors.invalid_value(path, how, "must be 'NotRequired' when `restartPolicy` is 'Never'")


def _restart_policy(path: str, container: Container) -> Errors:
    policy = container.get("restartPolicy")
    if policy and policy not in _RESTART_POLICIES:
        yield errors.not_supported(f"{path}.restartPolicy", policy, _RESTART_POLICIES)


def _init_container(path: str, container: Container, grace_s: int | None) -> Errors:
    if container.get("restartPolicy") == "Always":
        yield from probes_and_hooks(path, container, grace_s)
        return
    for key in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(key) is not None:
            yield errors.forbidden_field(f"{path}.{key}", _NOT_FOR_INIT)


def _ephemeral(path: str, container: Container, known: set[str]) -> Errors:
    target = container.get("targetContainerName")
    if target and target not in known:
        yield errors.not_found_field(f"{path}.targetContainerName", target)
    for key in _NOT_EPHEMERAL:
        if container.get(key):
            yield errors.forbidden_field(f"{path}.{key}", _NOT_FOR_EPHEMERAL)
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        for key in ("subPath", "subPathExpr"):
            if mount.get(key):
                yield errors.forbidden_field(f"{path}.volumeMounts[{index}].{key}", _NOT_FOR_EPHEMERAL)


def _ports(path: str, ports: list[Mapping[str, Any]]) -> Errors:
    taken: set[str] = set()
    for index, port in enumerate(ports):
        where = f"{path}[{index}]"
        if name := port.get("name"):
            found = names.port_name(name)
            yield from problems(f"{where}.name", name, found)
            if not found and name in taken:
                yield errors.duplicate(f"{where}.name", name)
            taken.add(name)
        number = port.get("containerPort", 0)
        if not number:
            yield errors.required(f"{where}.containerPort")
        else:
            yield from problems(f"{where}.containerPort", number, names.port_number(number))
        if host := port.get("hostPort"):
            yield from problems(f"{where}.hostPort", host, names.port_number(host))
        yield from one_of(f"{where}.protocol", port.get("protocol"), _PROTOCOLS)


def _host_ports(path: str, listed: Sequence[Container], on_host: bool) -> Errors:
    taken: set[tuple[str, str, int]] = set()
    for index, container in enumerate(listed):
        for number, port in enumerate(container.get("ports") or ()):
            host = port.get("hostPort")
            if not host:
                continue
            where = f"{path}[{index}].ports[{number}].hostPort"
            key = (port.get("protocol", ""), port.get("hostIP", ""), host)
            if key in taken:
                yield errors.duplicate(where, f"{key[0]}/{key[1]}/{host}")
            taken.add(key)
            if on_host and host != port.get("containerPort"):
                why = "must match `containerPort` when `hostNetwork` is true"
                yield errors.invalid_value(where, host, why)
