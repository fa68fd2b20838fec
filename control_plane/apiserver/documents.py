"""Paths of no resource: discovery, OpenAPI, version, health, metrics, service-account issuer discovery.

Documents carry an ETag; a client that has one already is answered 304.
"""

from __future__ import annotations

import platform
from collections.abc import Awaitable, Callable, Mapping

import orjson

from control_plane.api import errors
from control_plane.api.discovery import Discovery, Rendered
from control_plane.api.openapi.served import V2_PROTOBUF_CONTENT_TYPE, V2_PROTOBUF_TYPE, OpenAPI
from control_plane.apiserver import metrics, negotiation
from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.health import Health, slis
from control_plane.apiserver.messages import JSON, Request, Response
from control_plane.apiserver.routes import RequestInfo

DISCOVERY_GROUP = "apidiscovery.k8s.io"
_AGGREGATED = f"{JSON};g={DISCOVERY_GROUP};v=%s;as=APIGroupDiscoveryList"

Page = Callable[[Request], Response | Awaitable[Response]]

VERSION = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.0+balsa",
    "gitCommit": "unknown",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": f"python{platform.python_version()}",
    "compiler": "cpython",
    "platform": "linux/amd64",
}

metrics.note_build(VERSION)


class Documents:
    """Answers what is no resource. `debug` are further pages by their prefix."""

    def __init__(
        self,
        discovery: Discovery,
        openapi: Callable[[], OpenAPI],
        health: Health,
        issuer: Mapping[str, Callable[[], bytes]] | None = None,
        debug: Mapping[str, Page] | None = None,
    ) -> None:
        self._discovery = discovery
        self._openapi = openapi
        self._health = health
        self._issuer = issuer or {}
        self._debug = debug or {}

    async def __call__(self, request: Request, info: RequestInfo, user: UserInfo) -> Response:
        """Raises StatusError NotFound, MethodNotAllowed."""
        if request.method not in ("GET", "HEAD"):
            raise errors.path_not_found() if info.is_resource else errors.method_not_allowed()
        parts = [part for part in request.path.split("/") if part]
        match parts:
            case ["api" | "apis" as root]:
                return self._discover(request, core=root == "api")
            case ["api", "v1"]:
                return _document(request, self._discovery.resources("", "v1"))
            case ["apis", group]:
                return _document(request, self._discovery.group(group))
            case ["apis", group, version]:
                return _document(request, self._discovery.resources(group, version))
            case ["openapi", "v2"]:
                return self._openapi_v2(request)
            case ["openapi", "v3"]:
                return _document(request, self._openapi().v3_index())
            case ["openapi", "v3", *rest]:
                return _document(request, self._openapi().v3("/".join(rest)))
            case ["version"]:
                return Response(200, orjson.dumps(VERSION))
            case ["healthz" | "livez" | "readyz", *_]:
                return self._health.serve(request, parts)
            case ["metrics", "slis"]:
                return Response(200, slis(), metrics.CONTENT_TYPE)
            case ["metrics"]:
                return Response(200, metrics.render(), metrics.CONTENT_TYPE)
            case []:
                return Response(200, orjson.dumps({"paths": self._paths()}))
        made = self._issuer.get(request.path)
        if made is not None:
            jwks = request.path.endswith("jwks")
            return Response(200, made(), "application/jwk-set+json" if jwks else JSON)
        for prefix, serve in self._debug.items():
            if request.path.startswith(prefix):
                page = serve(request)
                return page if isinstance(page, Response) else await page
        raise errors.path_not_found()

    def _discover(self, request: Request, core: bool) -> Response:
        for clause in negotiation.parse_accept(request.headers.get("Accept", "")):
            if clause.media_type in (JSON, "*/*", "application/*") and not clause.get("as"):
                break
            version = clause.get("v")
            aggregated = clause.get("as") == "APIGroupDiscoveryList" and clause.get("g") == DISCOVERY_GROUP
            if aggregated and version in ("v2", "v2beta1"):
                rendered = self._discovery.aggregated(core, version)
                return _document(request, rendered, _AGGREGATED % version)
        return _document(request, self._discovery.legacy_core() if core else self._discovery.legacy_groups())

    def _openapi_v2(self, request: Request) -> Response:
        accept = request.headers.get("Accept", "")
        protobuf = V2_PROTOBUF_TYPE in accept or V2_PROTOBUF_CONTENT_TYPE in accept
        content_type = V2_PROTOBUF_CONTENT_TYPE if protobuf else JSON
        return _document(request, self._openapi().v2(protobuf), content_type)

    def _paths(self) -> list[str]:
        groups = orjson.loads(self._discovery.legacy_groups().body)["groups"]
        versions = [each["groupVersion"] for group in groups for each in group["versions"]]
        fixed = [
            "/healthz",
            "/livez",
            "/metrics",
            "/metrics/slis",
            "/openapi/v2",
            "/openapi/v3",
            "/readyz",
            "/version",
        ]
        named = [f"/apis/{group['name']}" for group in groups]
        return sorted(["/api", "/api/v1", "/apis", *named, *(f"/apis/{each}" for each in versions), *fixed])


def _document(request: Request, rendered: Rendered | None, content_type: str = JSON) -> Response:
    if rendered is None:
        raise errors.path_not_found()
    headers = {"ETag": rendered.etag, "Vary": "Accept", "Cache-Control": "public"}
    if rendered.etag in (tag.strip() for tag in request.headers.get("If-None-Match", "").split(",")):
        return Response(304, b"", content_type, headers)
    return Response(200, rendered.body, content_type, headers)
