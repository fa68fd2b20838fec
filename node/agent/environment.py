"""The environment of a container, pure: the list of (name, value) it starts with.

Order of precedence, as kubelet's: service variables, then envFrom, then env. `$(NAME)` refers to variables
known so far and `$$(NAME)` escapes; what is not known stays as it was written. What cannot be put together
raises ConfigError, the pod's CreateContainerConfigError.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from node.agent import downward
from node.agent.downward import NodeFacts
from node.agent.errors import ConfigError
from node.agent.pod_spec import Obj, namespace

Lookup = Callable[[str, str, str], Obj | None]  # kind ("ConfigMap", "Secret"), namespace, name

_REFERENCE = re.compile(r"\$(\$|\([^)]*\))")
MASTER_SERVICES = ("kubernetes",)


@dataclass(frozen=True, slots=True)
class Sources:
    lookup: Lookup
    services: Iterable[Obj]
    pod_ips: tuple[str, ...]
    host_ips: tuple[str, ...]
    node: NodeFacts
    says_pod_ip: bool = False  # where pods share the host's loopback, POD_IP is what they must bind


def make(pod: Obj, container: Obj, sources: Sources) -> list[tuple[str, str]]:
    known = {"POD_IP": sources.pod_ips[0]} if sources.says_pod_ip and sources.pod_ips else {}
    links = pod["spec"].get("enableServiceLinks", True)
    known.update(service_variables(sources.services, namespace(pod), bool(links)))
    for source in container.get("envFrom") or []:
        known.update(_env_from(pod, source, sources.lookup))
    for variable in container.get("env") or []:
        if variable.get("valueFrom"):
            value = _value_from(pod, container, variable["valueFrom"], sources)
        else:
            value = expand(variable.get("value") or "", known)
        if value is not None:
            known[variable["name"]] = value
    return list(known.items())


def expand(text: str, variables: Mapping[str, str]) -> str:
    """`$(NAME)` by its value when known; `$$` is a literal `$`."""

    def replace(match: re.Match[str]) -> str:
        token = match.group(1)
        if token == "$":  # noqa: S105
            return "$"
        return variables.get(token[1:-1], match.group(0))

    return _REFERENCE.sub(replace, text)


def _env_from(pod: Obj, source: Obj, lookup: Lookup) -> dict[str, str]:
    prefix = source.get("prefix") or ""
    kind = "ConfigMap" if "configMapRef" in source else "Secret"
    ref = source.get("configMapRef") or source.get("secretRef") or {}
    found = lookup(kind, namespace(pod), ref.get("name", ""))
    if found is None:
        if ref.get("optional"):
            return {}
        raise ConfigError(not_found(kind, ref.get("name", "")))
    return {prefix + key: text for key, text in data_of(kind, found).items()}


def _value_from(pod: Obj, container: Obj, source: Obj, sources: Sources) -> str | None:
    if ref := source.get("fieldRef"):
        return downward.field(pod, ref["fieldPath"], sources.pod_ips, sources.host_ips, sources.node)
    if ref := source.get("resourceFieldRef"):
        return downward.resource(pod, container, ref, sources.node)
    if ref := source.get("configMapKeyRef"):
        return _from_key(pod, "ConfigMap", ref, sources.lookup)
    if ref := source.get("secretKeyRef"):
        return _from_key(pod, "Secret", ref, sources.lookup)
    raise ConfigError(f"unsupported source of an environment variable: {', '.join(source) or 'none'}")


def _from_key(pod: Obj, kind: str, ref: Obj, lookup: Lookup) -> str | None:
    """None: optional and absent, so the variable is not set."""
    name, key = ref.get("name", ""), ref["key"]
    found = lookup(kind, namespace(pod), name)
    if found is None:
        if ref.get("optional"):
            return None
        raise ConfigError(not_found(kind, name))
    data = data_of(kind, found)
    if key not in data:
        if ref.get("optional"):
            return None
        raise ConfigError(f"couldn't find key {key} in {kind} {namespace(pod)}/{name}")
    return data[key]


def not_found(kind: str, name: str) -> str:
    return f'{kind.lower()} "{name}" not found'


def data_of(kind: str, obj: Obj) -> dict[str, str]:
    if kind == "ConfigMap":
        return dict(obj.get("data") or {})
    data = obj.get("data") or {}
    return {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}


def service_variables(services: Iterable[Obj], pod_namespace: str, links: bool) -> dict[str, str]:
    """Docker-link style variables of the namespace's services; always those of the API server's own."""
    chosen: dict[str, Obj] = {}
    for service in services:
        meta = service["metadata"]
        if service["spec"].get("clusterIP") in (None, "", "None"):
            continue
        if meta.get("namespace") == "default" and meta["name"] in MASTER_SERVICES:
            chosen.setdefault(meta["name"], service)
        elif links and meta.get("namespace") == pod_namespace:
            chosen[meta["name"]] = service
    variables: dict[str, str] = {}
    for name in sorted(chosen):
        variables.update(_link(name, chosen[name]["spec"]))
    return variables


def _link(name: str, spec: Obj) -> dict[str, str]:
    prefix = name.upper().replace("-", "_")
    address, ports = spec["clusterIP"], spec.get("ports") or []
    shown = f"[{address}]" if ":" in address else address
    variables = {f"{prefix}_SERVICE_HOST": address}
    for index, port in enumerate(ports):
        if index == 0:
            variables[f"{prefix}_SERVICE_PORT"] = str(port["port"])
        if port.get("name"):
            variables[f"{prefix}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(port["port"])
    for index, port in enumerate(ports):
        protocol = str(port.get("protocol") or "TCP")
        url = f"{protocol.lower()}://{shown}:{port['port']}"
        one = f"{prefix}_PORT_{port['port']}_{protocol}"
        if index == 0:
            variables[f"{prefix}_PORT"] = url
        variables |= {
            one: url,
            f"{one}_PROTO": protocol.lower(),
            f"{one}_PORT": str(port["port"]),
            f"{one}_ADDR": address,
        }
    return variables
