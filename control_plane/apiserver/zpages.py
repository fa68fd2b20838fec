"""`/statusz` and `/flagz`: what runs here, since when, and with which flags. For people, in no fixed form."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from control_plane.apiserver.messages import TEXT, Request, Response

_WARNING = (
    "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and "
    "is for debugging purposes only."
)


def statusz(version: str, started_s: float, clock: Callable[[], float]) -> Callable[[Request], Response]:
    def serve(request: Request) -> Response:
        up_s = int(clock() - started_s)
        lines = [
            f"Started: {datetime.fromtimestamp(started_s, UTC):%a %b %e %H:%M:%S UTC %Y}",
            f"Up: {up_s // 3600} hr {up_s % 3600 // 60:02d} min {up_s % 60:02d} sec",
            f"Python version: {platform.python_version()}",
            f"Binary version: {version}",
            f"Emulation version: {version}",
            "Paths: /flagz /healthz /livez /metrics /readyz /statusz /version",
        ]
        return _page("statusz", lines)

    return serve


def flagz(flags: Mapping[str, object]) -> Callable[[Request], Response]:
    def serve(request: Request) -> Response:
        return _page("flagz", [f"{name}={_shown(value)}" for name, value in sorted(flags.items())])

    return serve


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(str, value)) + "]"
    return str(value)


def _page(name: str, lines: list[str]) -> Response:
    text = "\n".join(["", f"kube-apiserver {name}", _WARNING, "", *lines]) + "\n"
    return Response(200, text.encode(), TEXT, {"X-Content-Type-Options": "nosniff"})
