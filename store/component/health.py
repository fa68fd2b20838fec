"""/healthz, /livez, /readyz and /metrics for processes that serve nothing else.

Each check is a named function that returns None when well and the reason when not. `?verbose` lists them, as
Kubernetes' components do; `/readyz/<name>` asks one.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

Check = Callable[[], str | None]


def report(path: str, checks: Mapping[str, Check], verbose: bool) -> tuple[int, str]:
    """Status and body for `path` ("/readyz", "/readyz/store")."""
    endpoint, _, only = path.strip("/").partition("/")
    if only and only not in checks:
        return 404, "404 page not found\n"
    results = {name: check() for name, check in checks.items() if not only or name == only}
    failed = any(reason is not None for reason in results.values())
    if not failed and not verbose:
        return 200, "ok"
    lines = [f"[+]{name} ok" if why is None else f"[-]{name} failed: {why}" for name, why in results.items()]
    lines.append(f"{endpoint} check {'failed' if failed else 'passed'}")
    return (500 if failed else 200), "\n".join(lines) + "\n"


class HealthServer:
    """Serves on `sock` (bound; listening or not). A client certificate is asked for by the TLS context."""

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        live: Mapping[str, Check] | None = None,
        ready: Mapping[str, Check] | None = None,
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._sock = sock
        self._context = context
        self._live = {"ping": lambda: None, **(live or {})}
        self._ready = {**self._live, **(ready or {})}
        self._registry = registry
        self._runner: web.ServerRunner | None = None

    async def start(self) -> None:
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None))
        await self._runner.setup()
        await web.SockSite(self._runner, self._sock, ssl_context=self._context).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/metrics":
            body = generate_latest(self._registry)
            return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})
        checks = self._checks(request.path)
        if checks is None:
            return web.Response(status=404, text="404 page not found\n")
        status, text = report(request.path, checks, "verbose" in request.query)
        return web.Response(status=status, text=text)

    def _checks(self, path: str) -> Mapping[str, Check] | None:
        endpoint = path.strip("/").partition("/")[0]
        return {"healthz": self._live, "livez": self._live, "readyz": self._ready}.get(endpoint)
