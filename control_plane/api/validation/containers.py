"""Containers: names, images, ports, environment, mounts, probes, hooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.api import errors, names
from control_plane.api.validation import environment, resources
from control_plane.api.validation.registry import Errors, not_negative, one_of, problems

_PROTOCOLS = ("SCTP", "TCP", "UDP")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_MESSAGE_POLICIES = ("FallbackToLogsOnError", "File")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOK_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")
_SCHEMES = ("HTTP", "HTTPS")
_PROBE_NUMBERS = (
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
)
_PROPAGATION = ("Bidirectional", "HostToContainer", "None")
_MAX_ID = 2**31 - 1

Container = Mapping[str, Any]


def all_containers(path: str, spec: Mapping[str, Any], volumes: Mapping[str, Any]) -> Errors:
    """Init and ordinary containers share one space of names."""
    taken: set[str] = set()
    listed = spec.get("containers") or []
    if not listed:
        yield errors.required(f"{path}.containers")
    for index, container in enumerate(listed):
        yield from _container(f"{path}.containers[{index}]", container, volumes, taken)
        if container.get("restartPolicy") and container["restartPolicy"] not in (
            "Always",
            "OnFailure",
            "Never",
        ):
            yield errors.not_supported(
                f"{path}.containers[{index}].restartPolicy",
                container["restartPolicy"],
                ("Always", "OnFailure", "Never"),
            )
    for index, container in enumerate(spec.get("initContainers") or ()):
        where = f"{path}.initContainers[{index}]"
        yield from _container(where, container, volumes, taken)
        yield from _init_container(where, container)
    for index, container in enumerate(spec.get("ephemeralContainers") or ()):
        yield from _container(f"{path}.ephemeralContainers[{index}]", container, volumes, taken)
    yield from _host_ports(path, spec)


def _container(path: str, container: Container, volumes: Mapping[str, Any], taken: set[str]) -> Errors:
    name = container.get("name", "")
    if not name:
        yield errors.required(f"{path}.name")
    else:
        yield from problems(f"{path}.name", name, names.dns_label(name))
        if name in taken:
            yield errors.duplicate(f"{path}.name", name)
        taken.add(name)
    image = container.get("image", "")
    if not image:
        yield errors.required(f"{path}.image")
    elif image != image.strip():
        yield errors.invalid_value(f"{path}.image", image, "must not have leading or trailing whitespace")
    if container.get("terminationMessagePolicy"):
        yield from one_of(
            f"{path}.terminationMessagePolicy", container["terminationMessagePolicy"], _MESSAGE_POLICIES
        )
    yield from _ports(f"{path}.ports", container.get("ports") or [])
    for index, variable in enumerate(container.get("env") or ()):
        yield from environment.variable(f"{path}.env[{index}]", variable)
    for index, source in enumerate(container.get("envFrom") or ()):
        yield from environment.env_from(f"{path}.envFrom[{index}]", source)
    yield from _mounts(f"{path}.volumeMounts", container, volumes)
    yield from one_of(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), _PULL_POLICIES)
    yield from resources.requirements(f"{path}.resources", container.get("resources") or {})
    yield from _probes(path, container)
    for hook, handler in (container.get("lifecycle") or {}).items():
        if isinstance(handler, Mapping):
            yield from _handler(f"{path}.lifecycle.{hook}", handler, _HOOK_HANDLERS)
    yield from _security(f"{path}.securityContext", container.get("securityContext") or {})


def _init_container(path: str, container: Container) -> Errors:
    policy = container.get("restartPolicy")
    if policy and policy not in ("Always", "OnFailure", "Never"):
        yield errors.not_supported(f"{path}.restartPolicy", policy, ("Always", "OnFailure", "Never"))
    if policy != "Always":
        for probe in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
            if container.get(probe) is not None:
                yield errors.forbidden_field(
                    f"{path}.{probe}", "may not be set for init containers without restartPolicy=Always"
                )


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


def _host_ports(path: str, spec: Mapping[str, Any]) -> Errors:
    taken: set[tuple[str, str, int]] = set()
    for index, container in enumerate(spec.get("containers") or ()):
        for number, port in enumerate(container.get("ports") or ()):
            host = port.get("hostPort")
            if not host:
                continue
            where = f"{path}.containers[{index}].ports[{number}].hostPort"
            key = (port.get("protocol", ""), port.get("hostIP", ""), host)
            if key in taken:
                yield errors.duplicate(where, f"{key[0]}/{key[1]}/{host}")
            taken.add(key)
            if spec.get("hostNetwork") and host != port.get("containerPort"):
                yield errors.invalid_value(
                    where.removesuffix("hostPort") + "containerPort",
                    port.get("containerPort", 0),
                    "must match `hostPort` when `hostNetwork` is true",
                )


def _mounts(path: str, container: Container, volumes: Mapping[str, Any]) -> Errors:
    taken: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        where, name, target = f"{path}[{index}]", mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            yield errors.required(f"{where}.name")
        if name not in volumes:
            yield errors.not_found_field(f"{where}.name", name)
        if not target:
            yield errors.required(f"{where}.mountPath")
        if target in taken:
            yield errors.invalid_value(f"{where}.mountPath", target, "must be unique")
        taken.add(target)
        for key in ("subPath", "subPathExpr"):
            if sub := mount.get(key):
                yield from relative_path(f"{where}.{key}", sub)
        if mount.get("subPath") and mount.get("subPathExpr"):
            yield errors.invalid_value(
                f"{where}.subPathExpr", mount["subPathExpr"], "subPathExpr and subPath are mutually exclusive"
            )
        if propagation := mount.get("mountPropagation"):
            yield from one_of(f"{where}.mountPropagation", propagation, _PROPAGATION)


def relative_path(path: str, value: str) -> Errors:
    if value.startswith("/"):
        yield errors.invalid_value(path, value, "must be a relative path")
    if ".." in value.split("/"):
        yield errors.invalid_value(path, value, "must not contain '..'")


def _probes(path: str, container: Container) -> Errors:
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if probe is None:
            continue
        where = f"{path}.{name}"
        yield from _handler(where, probe, _HANDLERS)
        for number in _PROBE_NUMBERS:
            yield from not_negative(f"{where}.{number}", probe.get(number))
        grace_s = probe.get("terminationGracePeriodSeconds")
        if grace_s is not None and grace_s <= 0:
            yield errors.invalid_value(
                f"{where}.terminationGracePeriodSeconds", grace_s, "must be greater than 0"
            )
        if name != "readinessProbe" and probe.get("successThreshold", 1) != 1:
            yield errors.invalid_value(f"{where}.successThreshold", probe["successThreshold"], "must be 1")
        if name == "readinessProbe" and grace_s is not None:
            yield errors.invalid_value(
                f"{where}.terminationGracePeriodSeconds", grace_s, "must not be set for readinessProbes"
            )


def _handler(path: str, handler: Mapping[str, Any], known: tuple[str, ...]) -> Errors:
    used = [key for key in known if handler.get(key) is not None]
    if not used:
        yield errors.required(path, "must specify a handler type")
    for extra in used[1:]:
        yield errors.forbidden_field(f"{path}.{extra}", "may not specify more than 1 handler type")
    for key in used:
        yield from _action(f"{path}.{key}", key, handler[key])


def _action(path: str, kind: str, action: Mapping[str, Any]) -> Errors:
    if kind == "exec" and not action.get("command"):
        yield errors.required(f"{path}.command")
    if kind == "httpGet":
        if not action.get("path"):
            yield errors.required(f"{path}.path")
        yield from one_of(f"{path}.scheme", action.get("scheme"), _SCHEMES)
        for index, header in enumerate(action.get("httpHeaders") or ()):
            yield from problems(
                f"{path}.httpHeaders[{index}]",
                header.get("name", ""),
                names.http_header(header.get("name", "")),
            )
    if kind in ("httpGet", "tcpSocket", "grpc"):
        yield from port(f"{path}.port", action.get("port", 0))


def port(path: str, value: int | str) -> Errors:
    """A port by number or by name."""
    if isinstance(value, str):
        yield from problems(path, value, names.port_name(value))
    else:
        yield from problems(path, value, names.port_number(value))


def _security(path: str, context: Mapping[str, Any]) -> Errors:
    for key in ("runAsUser", "runAsGroup"):
        value = context.get(key)
        if value is not None and not 0 <= value <= _MAX_ID:
            yield errors.invalid_value(f"{path}.{key}", value, names.in_range(0, _MAX_ID))
    escalation = context.get("allowPrivilegeEscalation")
    if escalation is False:
        if context.get("privileged"):
            yield errors.invalid_value(
                path, dict(context), "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            )
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            yield errors.invalid_value(
                path,
                dict(context),
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
            )
