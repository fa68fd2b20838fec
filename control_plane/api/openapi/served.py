"""What `/openapi/v2` and `/openapi/v3` answer: bytes from the built files, read when first asked for, and with
them the documents of custom resources.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import orjson

from control_plane.api import build
from control_plane.api.discovery import Rendered
from control_plane.api.openapi import documents, gnostic

V2_PROTOBUF_TYPE = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
V2_PROTOBUF_CONTENT_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

Json = dict[str, Any]

_SECTIONS = ("paths", "definitions")
_PATHS, _DEFINITIONS = b'"paths":{', b'"definitions":{'


class Additions(Protocol):
    """What is served besides the built-in kinds."""

    def v3_keys(self) -> list[str]: ...

    def v3(self, key: str) -> Rendered | None: ...

    def v2(self) -> dict[str, Any]:
        """`paths` and `definitions`; the same object until something changes."""


class _Nothing:
    _NONE: dict[str, Any] = {"paths": {}, "definitions": {}}  # noqa: RUF012 - never changed

    def v3_keys(self) -> list[str]:
        return []

    def v3(self, key: str) -> Rendered | None:
        return None

    def v2(self) -> dict[str, Any]:
        return self._NONE


class _OffByDefault:
    """Built-in groups and versions that are on here, beside what else is added (`inner`)."""

    def __init__(self, directory: Path, wanted: Iterable[tuple[str, str]], inner: Additions) -> None:
        every = orjson.loads((directory / documents.OFF_BY_DEFAULT).read_bytes())
        chosen = [every[documents.group_version_key(*each)] for each in wanted]
        self._directory, self._inner = directory, inner
        self._hashes: dict[str, str] = {key: value for each in chosen for key, value in each["v3"].items()}
        self._own = {section: _united(each[section] for each in chosen) for section in _SECTIONS}
        self._merged: tuple[Json, Json] | None = None  # of which inner document, and the result

    def v3_keys(self) -> list[str]:
        return [*self._hashes, *self._inner.v3_keys()]

    def v3(self, key: str) -> Rendered | None:
        if key not in self._hashes:
            return self._inner.v3(key)
        return Rendered((self._directory / documents.file_name(key)).read_bytes(), f'"{self._hashes[key]}"')

    def v2(self) -> Json:
        inner = self._inner.v2()
        if self._merged is None or self._merged[0] is not inner:
            whole = {section: inner[section] | self._own[section] for section in _SECTIONS}
            self._merged = (inner, whole)
        return self._merged[1]


def _united(parts: Iterable[Json]) -> Json:
    return {name: value for part in parts for name, value in part.items()}


class OpenAPI:
    """`also`: what is on of what is off by default."""

    def __init__(self, additions: Additions | None = None, also: Iterable[tuple[str, str]] = ()) -> None:
        self._directory = build.ensure_built() / "openapi"
        self._hashes: dict[str, str] = orjson.loads((self._directory / documents.V3_INDEX).read_bytes())
        self._additions = additions or _Nothing()
        if wanted := list(also):
            self._additions = _OffByDefault(self._directory, wanted, self._additions)
        self._etags: dict[str, str] = {}
        self._added: dict[str, Any] = {}
        self._v2_etags: dict[bool, str] = {}

    def v2(self, protobuf: bool) -> Rendered:
        name = documents.V2_PROTOBUF if protobuf else documents.V2_JSON
        added = self._additions.v2()
        if not added["paths"]:
            return self._file(name)
        if added is not self._added:
            self._added, self._v2_etags = added, {}
        body = (self._directory / name).read_bytes()
        body = body + gnostic.addition(added) if protobuf else _spliced(body, added)
        if protobuf not in self._v2_etags:
            self._v2_etags[protobuf] = f'"{documents.digest(body)}"'
        return Rendered(body, self._v2_etags[protobuf])

    def v3_index(self) -> Rendered:
        """`GET /openapi/v3`. The hash in each URL lets a client keep a document for ever."""
        hashes = dict(self._hashes)
        for key in self._additions.v3_keys():
            document = self._additions.v3(key)
            if document is not None:
                hashes[key] = document.etag.strip('"')
        shown = {
            key: {"serverRelativeURL": f"/openapi/v3/{key}?hash={digest}"} for key, digest in hashes.items()
        }
        body = orjson.dumps({"paths": shown})
        return Rendered(body, f'"{documents.digest(body)}"')

    def v3(self, key: str) -> Rendered | None:
        """`key` is what follows `/openapi/v3/`: `api/v1`, `apis/apps/v1`."""
        if key in self._hashes:
            return self._file(documents.file_name(key), self._hashes[key])
        return self._additions.v3(key)

    def _file(self, name: str, digest: str = "") -> Rendered:
        """Bodies are large and seldom asked for: only the ETag stays in memory."""
        body = (self._directory / name).read_bytes()
        if name not in self._etags:
            self._etags[name] = f'"{digest or documents.digest(body)}"'
        return Rendered(body, self._etags[name])


def _spliced(body: bytes, added: dict[str, Any]) -> bytes:
    """More members for two objects of a large JSON document, without parsing it. The first `"paths":{` is the
    document's own, and so is the first `"definitions":{` that stands at the end of the paths."""
    for marker, members in ((_DEFINITIONS, added["definitions"]), (_PATHS, added["paths"])):
        at = body.index(marker) + len(marker)
        inner = orjson.dumps(members)[1:-1]
        separator = b"" if body[at : at + 1] == b"}" else b","
        body = b"".join((body[:at], inner, separator, body[at:]))
    return body
