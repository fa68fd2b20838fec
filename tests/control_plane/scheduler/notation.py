"""Nodes and pods of tables in a short notation.

A node is `name label=value …`; its host name label is added unless it says `-host`; `tainted` gives it a
taint that nobody tolerates. A pod is `node[@namespace][!] label …`; `!`: it is being deleted."""

from __future__ import annotations

from collections.abc import Sequence

from control_plane.client.types import Obj
from tests.control_plane.scheduler.build import HOST, node, pod


def nodes_of(texts: Sequence[str]) -> list[Obj]:
    return [node_of(text) for text in texts]


def node_of(text: str) -> Obj:
    name, *words = text.split()
    built = node(name, labels=dict(word.split("=") for word in words if "=" in word))
    if "-host" in words:
        del built["metadata"]["labels"][HOST]
    if "tainted" in words:
        built["spec"]["taints"] = [{"key": "foo", "value": "", "effect": "NoSchedule"}]
    return built


def pods_of(texts: Sequence[str]) -> list[Obj]:
    return [pod_of(text) for text in texts]


def pod_of(text: str, affinity: Obj | None = None) -> Obj:
    place, *words = (" " + text).split(" ")[1:]
    name, _, namespace = place.rstrip("!").partition("@")
    leaving = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if place.endswith("!") else {}
    labels = {key: value for key, _, value in (word.partition("=") for word in words if word)}
    return pod(
        f"on-{name}",
        on=name,
        namespace=namespace or "default",
        labels=labels,
        metadata=leaving,
        affinity=affinity,
    )
