"""What the apiserver serves now, for the loops that deal with every kind: namespace and garbage-collector."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import orjson

from control_plane.client.client import Client
from control_plane.client.gvr import GVR

ACCEPT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@dataclass(frozen=True, slots=True)
class Served:
    """One resource in its group's preferred version."""

    gvr: GVR
    kind: str
    verbs: frozenset[str]


async def served_resources(client: Client) -> list[Served]:
    """Every resource (not subresource), once per group. Raises StatusError, ConnectionFailed."""
    documents = await asyncio.gather(
        *(client.request("GET", path, headers={"Accept": ACCEPT}) for path in ("/api", "/apis"))
    )
    found: dict[tuple[str, str], Served] = {}
    for document in documents:
        for group in orjson.loads(document.body).get("items", []):
            for served in _of_group(group):
                found.setdefault((served.gvr.group, served.gvr.resource), served)
    return list(found.values())


def _of_group(group: dict[str, object]) -> list[Served]:
    name = group["metadata"].get("name", "")  # type: ignore[attr-defined]
    return [
        Served(
            GVR(name, version["version"], each["resource"], each["scope"] == "Namespaced"),
            each["responseKind"]["kind"],
            frozenset(each["verbs"]),
        )
        for version in group["versions"]  # type: ignore[attr-defined]
        for each in version["resources"]
    ]
