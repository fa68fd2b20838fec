"""The downward API, pure: what a pod may read of itself, in variables and in files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from control_plane.api.quantity import NANO, Quantity, parse
from node.agent.errors import ConfigError
from node.agent.pod_spec import Obj, find_container

_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['(.*)'\]$")


@dataclass(frozen=True, slots=True)
class NodeFacts:
    name: str
    allocatable: Mapping[str, str]


def field(pod: Obj, path: str, pod_ips: tuple[str, ...], host_ips: tuple[str, ...], node: NodeFacts) -> str:
    meta, spec = pod["metadata"], pod["spec"]
    if match := _SUBSCRIPT.match(path):
        return str((meta.get(match.group(1)) or {}).get(match.group(2), ""))
    values = {
        "metadata.name": meta.get("name", ""),
        "metadata.namespace": meta.get("namespace", ""),
        "metadata.uid": meta.get("uid", ""),
        "spec.nodeName": spec.get("nodeName") or node.name,
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.hostIP": host_ips[0] if host_ips else "",
        "status.hostIPs": ",".join(host_ips),
        "status.podIP": pod_ips[0] if pod_ips else "",
        "status.podIPs": ",".join(pod_ips),
    }
    if path in ("metadata.labels", "metadata.annotations"):
        return format_map(meta.get(path.removeprefix("metadata.")) or {})
    if path not in values:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return str(values[path])


def format_map(items: Mapping[str, str]) -> str:
    """key="value" by line, sorted, quoted as Go's %q does for the usual characters."""
    return "\n".join(f"{key}={_quote(value)}" for key, value in sorted(items.items()))


def _quote(text: str) -> str:
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(escapes.get(character, character) for character in text) + '"'


def resource(pod: Obj, container: Obj, ref: Obj, node: NodeFacts) -> str:
    """`limits.cpu` and the like, divided and rounded up; a limit that is not set is the pod's, else the node's
    allocatable."""
    if name := ref.get("containerName"):
        found = find_container(pod, name)
        if found is None:
            raise ConfigError(f"container {name} not found")
        container = found[1]
    kind, _, what = ref["resource"].partition(".")
    asked = container.get("resources") or {}
    listed = asked.get(kind) or {}
    value = listed.get(what)
    if value is None and kind == "limits" and what in ("cpu", "memory", "ephemeral-storage"):
        of_pod = (pod["spec"].get("resources") or {}).get("limits") or {}
        value = of_pod.get(what) or node.allocatable.get(what)
    if kind not in ("limits", "requests"):
        raise ConfigError(f"unsupported container resource : {ref['resource']}")
    return _divided(parse(value if value is not None else "0"), parse(ref.get("divisor") or "1"))


def _divided(value: Quantity, divisor: Quantity) -> str:
    unit = divisor.nanos or NANO
    return str(-(-value.nanos // unit))
