"""What `/openapi/v2` and `/openapi/v3` answer: bytes from the built files, read when first asked for.

Documents of custom resources are set and dropped by group version while the server runs.
"""

from __future__ import annotations

from typing import Any

import orjson

from control_plane.api import build
from control_plane.api.discovery import Rendered
from control_plane.api.openapi import documents

V2_PROTOBUF_TYPE = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
V2_PROTOBUF_CONTENT_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


class OpenAPI:
    def __init__(self) -> None:
        self._directory = build.ensure_built() / "openapi"
        self._hashes: dict[str, str] = orjson.loads((self._directory / documents.V3_INDEX).read_bytes())
        self._custom: dict[str, Rendered] = {}
        self._etags: dict[str, str] = {}

    def v2(self, protobuf: bool) -> Rendered:
        return self._file(documents.V2_PROTOBUF if protobuf else documents.V2_JSON)

    def v3_index(self) -> Rendered:
        """`GET /openapi/v3`. The hash in each URL lets a client keep a document for ever."""
        hashes = self._hashes | {key: doc.etag.strip('"') for key, doc in self._custom.items()}
        shown = {
            key: {"serverRelativeURL": f"/openapi/v3/{key}?hash={digest}"} for key, digest in hashes.items()
        }
        body = orjson.dumps({"paths": shown})
        return Rendered(body, f'"{documents.digest(body)}"')

    def v3(self, key: str) -> Rendered | None:
        """`key` is what follows `/openapi/v3/`: `api/v1`, `apis/apps/v1`."""
        if key in self._custom:
            return self._custom[key]
        if key not in self._hashes:
            return None
        return self._file(documents.file_name(key), self._hashes[key])

    def set_custom(self, group: str, version: str, document: dict[str, Any] | None) -> None:
        """Serve, or with None stop serving, the document of a custom group version."""
        key = documents.group_version_key(group, version)
        if document is None:
            self._custom.pop(key, None)
        else:
            body = orjson.dumps(document)
            self._custom[key] = Rendered(body, f'"{documents.digest(body)}"')

    def _file(self, name: str, digest: str = "") -> Rendered:
        """Bodies are large and seldom asked for: only the ETag stays in memory."""
        body = (self._directory / name).read_bytes()
        if name not in self._etags:
            self._etags[name] = f'"{digest or documents.digest(body)}"'
        return Rendered(body, self._etags[name])
