"""What the agent asks of a pod object: small questions with one answer each.

A pod is a plain dict as the API has it, already defaulted by the apiserver. Static pods are defaulted on
reading (see `static_pods`), so the defaults here only guard against an older object.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

Obj = dict[str, Any]

DEFAULT_GRACE_S = 30
MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
SOURCE_ANNOTATION = "kubernetes.io/config.source"
HASH_ANNOTATION = "kubernetes.io/config.hash"
TERMINAL_PHASES = ("Succeeded", "Failed")


class Role(StrEnum):
    """Which list a container stands in; a sidecar is an init container with restartPolicy Always."""

    INIT = "init"
    SIDECAR = "sidecar"
    MAIN = "main"
    EPHEMERAL = "ephemeral"


def uid(pod: Obj) -> str:
    return str(pod["metadata"]["uid"])


def name(pod: Obj) -> str:
    return str(pod["metadata"]["name"])


def namespace(pod: Obj) -> str:
    return str(pod["metadata"].get("namespace", "default"))


def full_name(pod: Obj) -> str:
    """`name_namespace(uid)`, as kubelet's messages call a pod."""
    return f"{name(pod)}_{namespace(pod)}({uid(pod)})"


def main_containers(pod: Obj) -> list[Obj]:
    return pod["spec"].get("containers") or []


def init_containers(pod: Obj) -> list[Obj]:
    return pod["spec"].get("initContainers") or []


def ephemeral_containers(pod: Obj) -> list[Obj]:
    return pod["spec"].get("ephemeralContainers") or []


def is_sidecar(container: Obj) -> bool:
    return container.get("restartPolicy") == "Always"


def sidecars(pod: Obj) -> list[Obj]:
    return [each for each in init_containers(pod) if is_sidecar(each)]


def containers_by_role(pod: Obj) -> Iterator[tuple[Role, Obj]]:
    for each in init_containers(pod):
        yield (Role.SIDECAR if is_sidecar(each) else Role.INIT), each
    for each in main_containers(pod):
        yield Role.MAIN, each
    for each in ephemeral_containers(pod):
        yield Role.EPHEMERAL, each


def find_container(pod: Obj, container_name: str) -> tuple[Role, Obj] | None:
    return next((pair for pair in containers_by_role(pod) if pair[1]["name"] == container_name), None)


def restart_policy(pod: Obj) -> str:
    return str(pod["spec"].get("restartPolicy", "Always"))


def is_deleting(pod: Obj) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def is_static(pod: Obj) -> bool:
    source = (pod["metadata"].get("annotations") or {}).get(SOURCE_ANNOTATION)
    return source is not None and source != "api"


def is_mirror(pod: Obj) -> bool:
    return MIRROR_ANNOTATION in (pod["metadata"].get("annotations") or {})


def is_terminal(pod: Obj) -> bool:
    return (pod.get("status") or {}).get("phase") in TERMINAL_PHASES


def host_network(pod: Obj) -> bool:
    return bool(pod["spec"].get("hostNetwork"))


def grace_s(pod: Obj) -> int:
    """The grace a deleted pod has: what the deletion granted, else what the pod asked for."""
    granted = pod["metadata"].get("deletionGracePeriodSeconds")
    if granted is None:
        granted = pod["spec"].get("terminationGracePeriodSeconds")
    return DEFAULT_GRACE_S if granted is None else int(granted)


def probe_grace_s(pod: Obj, probe: Obj | None) -> int:
    own = (probe or {}).get("terminationGracePeriodSeconds")
    return grace_s(pod) if own is None else int(own)


def field_path(pod: Obj, container_name: str) -> str:
    """Where a container stands in its pod, as events name it: `spec.containers{web}`."""
    if not container_name:
        return ""
    found = find_container(pod, container_name)
    role = found[0] if found else Role.MAIN
    field = {Role.MAIN: "containers", Role.EPHEMERAL: "ephemeralContainers"}.get(role, "initContainers")
    return f"spec.{field}{{{container_name}}}"
