"""Probes and lifecycle hooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.api import errors, names
from control_plane.api.validation.registry import Errors, not_negative, problems

_PROBE_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOK_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")
_SCHEMES = ("HTTP", "HTTPS")
_PROBE_NUMBERS = (
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
)
_GRACE = "terminationGracePeriodSeconds"


def probes_and_hooks(path: str, container: Mapping[str, Any], grace_s: int | None) -> Errors:
    """`grace_s`: how long the pod has to end."""
    for moment in ("postStart", "preStop"):
        hook = (container.get("lifecycle") or {}).get(moment)
        if hook is not None:
            yield from _handler(f"{path}.lifecycle.{moment}", hook, _HOOK_HANDLERS, grace_s)
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(name) is not None:
            yield from _probe(f"{path}.{name}", name, container[name], grace_s)


def _probe(path: str, name: str, probe: Mapping[str, Any], grace_s: int | None) -> Errors:
    yield from _handler(path, probe, _PROBE_HANDLERS, grace_s)
    for number in _PROBE_NUMBERS:
        yield from not_negative(f"{path}.{number}", probe.get(number))
    own_s = probe.get(_GRACE)
    if own_s is not None and own_s <= 0:
        yield errors.invalid_value(f"{path}.{_GRACE}", own_s, "must be greater than 0")
    if name != "readinessProbe" and probe.get("successThreshold", 1) != 1:
        yield errors.invalid_value(f"{path}.successThreshold", probe["successThreshold"], "must be 1")
    if name == "readinessProbe" and own_s is not None:
        yield errors.invalid_value(f"{path}.{_GRACE}", own_s, "must not be set for readinessProbes")


def _handler(path: str, handler: Mapping[str, Any], known: tuple[str, ...], grace_s: int | None) -> Errors:
    used = [key for key in known if handler.get(key) is not None]
    if not used:
        yield errors.required(path, "must specify a handler type")
    for key in used[:1]:
        yield from _action(f"{path}.{key}", key, handler[key], grace_s)
    for extra in used[1:]:
        yield errors.forbidden_field(f"{path}.{extra}", "may not specify more than 1 handler type")


def _action(path: str, kind: str, action: Mapping[str, Any], grace_s: int | None) -> Errors:
    match kind:
        case "exec":
            if not action.get("command"):
                yield errors.required(f"{path}.command")
        case "sleep":
            seconds = action.get("seconds", 0)
            if grace_s is not None and not 0 <= seconds <= grace_s:
                limit = f"must be non-negative and less than terminationGracePeriodSeconds ({grace_s})"
                yield errors.invalid_value(path, seconds, limit)
        case "httpGet":
            yield from _http(path, action)
        case _:
            yield from port(f"{path}.port", action.get("port", 0))


def _http(path: str, action: Mapping[str, Any]) -> Errors:
    if not action.get("path"):
        yield errors.required(f"{path}.path")
    yield from port(f"{path}.port", action.get("port", 0))
    if action.get("scheme") not in _SCHEMES:
        yield errors.not_supported(f"{path}.scheme", action.get("scheme") or "", _SCHEMES)
    for header in action.get("httpHeaders") or ():
        name = header.get("name", "")
        yield from problems(f"{path}.httpHeaders", name, names.http_header(name))


def port(path: str, value: int | str) -> Errors:
    """A port by number or by name."""
    if isinstance(value, str):
        yield from problems(path, value, names.port_name(value))
    else:
        yield from problems(path, value, names.port_number(value))
