"""Requests as bytes, since a client library would refuse to send what is wrong; and sound ones to begin with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

NAMESPACE = "fuzz"
JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"

_TEMPLATE = {
    "metadata": {"labels": {"app": "f"}},
    "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]},
}

OBJECTS: dict[str, dict[str, Any]] = {
    f"/api/v1/namespaces/{NAMESPACE}/configmaps": {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "f", "labels": {"a": "b"}},
        "data": {"k": "v"},
    },
    f"/api/v1/namespaces/{NAMESPACE}/pods": {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "f"},
        "spec": _TEMPLATE["spec"],
    },
    f"/api/v1/namespaces/{NAMESPACE}/services": {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "f"},
        "spec": {"selector": {"app": "f"}, "ports": [{"port": 80, "targetPort": 8080}]},
    },
    f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments": {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "f"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "f"}}, "template": _TEMPLATE},
    },
    f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs": {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "f"},
        "spec": {"template": {"spec": {**_TEMPLATE["spec"], "restartPolicy": "Never"}}},
    },
    f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/roles": {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "f"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    },
}
COLLECTIONS = tuple(OBJECTS)
EXISTING = f"/api/v1/namespaces/{NAMESPACE}/configmaps/kept"
KEPT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept"}, "data": {"k": "v"}}


@dataclass(frozen=True)
class Mutant:
    """`must_fail`: no reading of it is sound. Otherwise it is sent as a dry run. `frames` follow an upgrade."""

    kind: str
    data: bytes
    must_fail: bool = True
    frames: tuple[bytes, ...] = field(default=())


def request(
    method: str, target: str | bytes, body: bytes | None = None, content_type: str = JSON, **headers: str
) -> bytes:
    """Header names take `_` for `-`."""
    path = target.encode() if isinstance(target, str) else target
    lines = [b"%s %s HTTP/1.1" % (method.encode(), path), b"Host: fuzz", b"User-Agent: fuzz"]
    chosen = {"Accept": JSON, **({"Content_Type": content_type} if body is not None else {}), **headers}
    lines += [f"{name.replace('_', '-')}: {value}".encode() for name, value in chosen.items()]
    if body is not None:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")


def body_of(target: str) -> bytes:
    return orjson.dumps(OBJECTS[target])
