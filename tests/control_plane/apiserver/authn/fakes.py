"""Objects, a reader over them, and requests, for the tests of authentication, authorization and admission."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from multidict import CIMultiDict

from control_plane.apiserver.messages import Connection, Request

Object = dict[str, Any]
NOW_S = 1_700_000_000.0


class FakeReader:
    """What is stored, by (group, resource). `live` objects are in the store and not yet in the cache."""

    def __init__(self, **resources: Iterable[Object]) -> None:
        self.objects: dict[tuple[str, str], list[Object]] = {}
        self.live: dict[tuple[str, str], list[Object]] = {}
        self.late: list[tuple[str, Object]] = []  # on its way to the cache
        self._lists: dict[tuple[str, str], tuple[Object, ...]] = {}
        for resource, objects in resources.items():
            self.add(resource, *objects)

    def add(self, resource: str, *objects: Object, group: str = "") -> None:
        self.objects.setdefault((group, resource), []).extend(objects)
        self._lists.clear()

    def get(self, group: str, resource: str, namespace: str, name: str) -> Object | None:
        return _find(self.objects.get((group, resource), []), namespace, name)

    def list(self, group: str, resource: str, namespace: str = "") -> Sequence[Object]:
        found = self.objects.get((group, resource), [])
        if namespace:
            return [o for o in found if o["metadata"].get("namespace") == namespace]
        return self._lists.setdefault((group, resource), tuple(found))

    async def catch_up(self) -> None:
        for resource, found in self.late:
            self.add(resource, found)
        self.late = []

    async def get_live(self, group: str, resource: str, namespace: str, name: str) -> Object | None:
        live = _find(self.live.get((group, resource), []), namespace, name)
        return live or self.get(group, resource, namespace, name)


def _find(objects: Iterable[Object], namespace: str, name: str) -> Object | None:
    for obj in objects:
        meta = obj["metadata"]
        if meta["name"] == name and meta.get("namespace", "") == namespace:
            return obj
    return None


def obj(name: str, namespace: str = "", uid: str = "", **fields: Any) -> Object:
    metadata: Object = {"name": name, "uid": uid or f"uid-of-{name}"}
    if namespace:
        metadata["namespace"] = namespace
    metadata.update(fields.pop("metadata", {}))
    return {"metadata": metadata, **fields}


class _TLS:
    def __init__(self, der: bytes) -> None:
        self._der = der

    def getpeercert(self, binary_form: bool = False) -> bytes:
        return self._der


def request(headers: Sequence[tuple[str, str]] = (), certificate_der: bytes | None = None) -> Request:
    all_headers = CIMultiDict(headers)

    async def read(limit: int) -> bytes:
        return b""

    connection = Connection(tls=_TLS(certificate_der) if certificate_der else None)  # type: ignore[arg-type]
    return Request(
        "GET", "/", "", all_headers, connection, read, lambda name: list(all_headers.getall(name, []))
    )
