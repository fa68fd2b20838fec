"""Discovery and OpenAPI of other servers, kept beside ours.

What a server has told stays known while it cannot be reached (marked stale), so that clients can tell a group
that is gone from one that is down.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from control_plane.api.discovery import Discovery, Rendered
from control_plane.api.openapi.served import Additions
from control_plane.apiserver.aggregator.remote import AGGREGATOR, Remote, RemoteClient, user_headers
from control_plane.apiserver.messages import JSON

AGGREGATED_DISCOVERY = f"{JSON};g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
MAX_DOCUMENT_SIZE_BYTES = 32 * 1024 * 1024

Object = dict[str, Any]


class NoDocument(Exception):
    """The server does not serve the document, or nonsense in its place."""


@dataclass(slots=True)
class Known:
    """What one group version's server has told."""

    resources: list[Object] = field(default_factory=list)  # in the form of aggregated discovery
    openapi_v3: Rendered | None = None
    openapi_v2: Object | None = None


class Fetcher:
    def __init__(self, client: RemoteClient) -> None:
        self._client = client

    async def fetch(self, remote: Remote) -> Known:
        """Raises NoDocument when there is no discovery; OpenAPI may be missing."""
        known = Known(await self._resources(remote))
        key = remote.path[1:]
        try:
            body = await self._get(remote, f"/openapi/v3/{key}", JSON)
            orjson.loads(body)
            known.openapi_v3 = Rendered(body, f'"{hashlib.sha512(body).hexdigest().upper()}"')
        except (NoDocument, orjson.JSONDecodeError):
            known.openapi_v3 = None
        try:
            known.openapi_v2 = own_part(_object(await self._get(remote, "/openapi/v2", JSON)), remote)
        except NoDocument:
            known.openapi_v2 = None
        return known

    async def _resources(self, remote: Remote) -> list[Object]:
        try:
            listed = _object(await self._get(remote, "/apis", f"{AGGREGATED_DISCOVERY},{JSON}"))
        except NoDocument:
            listed = {}
        for item in listed.get("items") or () if listed.get("kind") == "APIGroupDiscoveryList" else ():
            if (item.get("metadata") or {}).get("name") != remote.group:
                continue
            for version in item.get("versions") or ():
                if version.get("version") == remote.version:
                    return list(version.get("resources") or ())
        return from_legacy(_object(await self._get(remote, remote.path, JSON)), remote)

    async def _get(self, remote: Remote, path: str, accept: str) -> bytes:
        headers = user_headers(AGGREGATOR)
        headers["Accept"] = accept
        try:
            answer = await self._client.open(remote, "GET", path, headers)
            async with answer:
                if answer.status != 200:
                    raise NoDocument(f"{path}: {answer.status}")
                body = await answer.content.read(MAX_DOCUMENT_SIZE_BYTES + 1)
                while len(body) <= MAX_DOCUMENT_SIZE_BYTES and not answer.content.at_eof():
                    body += await answer.content.read(MAX_DOCUMENT_SIZE_BYTES + 1 - len(body))
        except (aiohttp.ClientError, OSError) as error:
            raise NoDocument(f"{path}: {error}") from error
        if len(body) > MAX_DOCUMENT_SIZE_BYTES:
            raise NoDocument(f"{path} is longer than {MAX_DOCUMENT_SIZE_BYTES} bytes")
        return body


def _object(body: bytes) -> Object:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise NoDocument(str(error)) from error
    if not isinstance(value, dict):
        raise NoDocument("not an object")
    return value


def own_part(spec: Object, remote: Remote) -> Object:
    """Of a server's OpenAPI v2 document the paths of its group version, and all definitions."""
    paths = {
        path: item
        for path, item in (spec.get("paths") or {}).items()
        if path == remote.path
        or path.startswith((f"{remote.path}/", f"/apis/{remote.group}/{remote.version}/"))
    }
    return {"paths": paths, "definitions": spec.get("definitions") or {}}


def from_legacy(listed: Object, remote: Remote) -> list[Object]:
    """An APIResourceList as aggregated discovery has it."""
    found: dict[str, Object] = {}
    rows: Sequence[Mapping[str, Any]] = listed.get("resources") or ()
    for row in rows:
        name, _, subresource = str(row.get("name", "")).partition("/")
        kind = {
            "group": row.get("group") or remote.group,
            "version": row.get("version") or remote.version,
            "kind": row.get("kind", ""),
        }
        if subresource:
            if name in found:
                entry = {"subresource": subresource, "responseKind": kind, "verbs": row.get("verbs") or []}
                found[name].setdefault("subresources", []).append(entry)
            continue
        found[name] = {
            "resource": name,
            "responseKind": kind,
            "scope": "Namespaced" if row.get("namespaced") else "Cluster",
            "singularResource": row.get("singularName", ""),
            "verbs": row.get("verbs") or [],
            **{key: row[key] for key in ("shortNames", "categories") if row.get(key)},
        }
    return list(found.values())


def discovery_items(remotes: Sequence[Remote], known: Mapping[str, Known]) -> list[Object]:
    """The groups of other servers, highest priority first, in the aggregated form."""
    return [
        {
            "metadata": {"name": group, "creationTimestamp": None},
            "versions": [
                {
                    "version": remote.version,
                    "resources": known[remote.name].resources if remote.name in known else [],
                    "freshness": "Current" if remote.available and remote.name in known else "Stale",
                }
                for remote in versions
            ],
        }
        for group, versions in by_group(remotes)
    ]


def api_groups(remotes: Sequence[Remote]) -> list[Object]:
    """The same as APIGroup objects."""
    found: list[Object] = []
    for group, versions in by_group(remotes):
        listed = [{"groupVersion": f"{group}/{each.version}", "version": each.version} for each in versions]
        found.append({"name": group, "versions": listed, "preferredVersion": listed[0]})
    return found


def by_group(remotes: Sequence[Remote]) -> list[tuple[str, list[Remote]]]:
    groups: dict[str, list[Remote]] = {}
    for remote in remotes:
        groups.setdefault(remote.group, []).append(remote)
    ordered = sorted(groups.items(), key=lambda item: (-max(r.group_priority for r in item[1]), item[0]))
    return [
        (group, sorted(versions, key=lambda each: (-each.version_priority, each.version)))
        for group, versions in ordered
    ]


def publish(
    discovery: Discovery, remotes: Sequence[Remote], known: Mapping[str, Known], local: set[str]
) -> None:
    """Into our own discovery; groups that are served here too stay ours alone."""
    others = [remote for remote in remotes if remote.group not in local]
    items, groups = discovery_items(others, known), api_groups(others)
    if items != list(discovery.others) or groups != list(discovery.other_groups):
        discovery.others, discovery.other_groups = items, groups
        discovery.invalidate()


class OpenAPIAdditions:
    """The OpenAPI of other servers, beside that of custom resources (`inner`)."""

    def __init__(self, inner: Additions) -> None:
        self._inner = inner
        self._v3: dict[str, Rendered] = {}
        self._parts: list[Object] = []
        self._merged: tuple[Object, Object] | None = None  # of which inner document, and the result

    def change(self, remotes: Sequence[Remote], known: Mapping[str, Known]) -> None:
        self._v3 = {
            remote.path[1:]: document
            for remote in remotes
            if remote.name in known and (document := known[remote.name].openapi_v3) is not None
        }
        parts = [
            part
            for remote in remotes
            if remote.name in known and (part := known[remote.name].openapi_v2) is not None
        ]
        if parts != self._parts:
            self._parts, self._merged = parts, None

    def v3_keys(self) -> list[str]:
        return [*self._inner.v3_keys(), *self._v3]

    def v3(self, key: str) -> Rendered | None:
        return self._v3.get(key) or self._inner.v3(key)

    def v2(self) -> Object:
        inner = self._inner.v2()
        if not self._parts:
            return inner
        if self._merged is None or self._merged[0] is not inner:
            whole: Object = {"paths": dict(inner["paths"]), "definitions": dict(inner["definitions"])}
            for part in self._parts:
                for section in ("paths", "definitions"):
                    for name, value in part[section].items():
                        whole[section].setdefault(name, value)
            self._merged = (inner, whole)
        return self._merged[1]
