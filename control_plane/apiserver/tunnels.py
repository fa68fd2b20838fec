"""Upgraded connections passed through: the client's request is sent on to a backend, and when that answers 101 the
two connections are joined byte for byte, whatever they speak (WebSocket, SPDY/3.1, anything else).

Before the 101 everything is HTTP: a backend's refusal is handed to the client as it is, so that what a person reads
are the backend's words. Credentials of the client stay here. Tunnels are bounded in number and in idle time; when
the server stops they get DRAIN_S to finish.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from control_plane.api import errors
from control_plane.apiserver.messages import Request, Response
from control_plane.client.streams.duplex import Duplex, first_of, splice

MAX_TUNNELS = 1024  # of one server
IDLE_TIMEOUT_S = 4 * 3600.0  # kubelet's streaming-connection-idle-timeout
ANSWER_TIMEOUT_S = 30.0  # for the backend's head
DRAIN_S = 3.0
MAX_HEAD_BYTES = 64 * 1024
MAX_ERROR_BYTES = 64 * 1024

HOP_BY_HOP = {
    *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
    "proxy-authenticate",
    *("host", "content-length", "expect"),
}
_CREDENTIALS = {"authorization", "proxy-authorization"}
_IDENTITIES = ("impersonate-", "x-remote-")
_WEBSOCKET_PROTOCOL = "sec-websocket-protocol"
_BEARER_PREFIX = "base64url.bearer.authorization.k8s.io."


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of a backend's answer."""

    raw: bytes
    status: int
    headers: Mapping[str, str]  # names in lower case
    rest: bytes  # what came with it


class Tunnels:
    def __init__(self, max_tunnels: int = MAX_TUNNELS, idle_timeout_s: float = IDLE_TIMEOUT_S) -> None:
        self._free = max_tunnels
        self._idle_timeout_s = idle_timeout_s

    async def open(
        self,
        request: Request,
        backend: Duplex,
        host: str,
        target: str,
        stopping: asyncio.Event,
        more: Iterable[tuple[str, str]] = (),
    ) -> Response:
        """Ask the backend for the upgrade that the client asked for. `target` is its path and query; `more` are
        headers of our own. The backend is closed here, or when the response's connection has ended. Raises
        StatusError."""
        if self._free <= 0:
            backend.close()
            raise errors.too_many_requests()
        try:
            await backend.write(_request_head(request, host, target, more))
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                head = await read_head(backend)
                if head.status != 101:
                    return await _refusal(head, backend)
        except (OSError, TimeoutError, ValueError) as error:
            backend.close()
            raise errors.internal(f"error dialing backend: {error or 'i/o timeout'}") from error
        except BaseException:
            backend.close()
            raise

        async def joined(client: Duplex) -> None:
            self._free -= 1
            try:
                await client.write(head.raw + head.rest)
                tunnel = splice(client, backend, self._idle_timeout_s)
                await first_of(tunnel, _drained(stopping))
            finally:
                self._free += 1
                backend.close()

        return Response(101, upgrade=joined)


async def _drained(stopping: asyncio.Event) -> None:
    await stopping.wait()
    await asyncio.sleep(DRAIN_S)


def passed_on(headers: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """The client's headers without those of its connection to us, and without what it proves itself by."""
    for name, value in headers.items():
        lower = name.lower()
        if lower in HOP_BY_HOP or lower in _CREDENTIALS or lower.startswith(_IDENTITIES):
            continue
        if lower == _WEBSOCKET_PROTOCOL:
            words = [word.strip() for word in value.split(",")]
            value = ", ".join(word for word in words if not word.startswith(_BEARER_PREFIX))
            if not value:
                continue
        yield name, value


def _request_head(request: Request, host: str, target: str, more: Iterable[tuple[str, str]]) -> bytes:
    lines = [f"{request.method} {target} HTTP/1.1", f"Host: {host}", "Connection: Upgrade"]
    lines.append(f"Upgrade: {request.headers.get('Upgrade', '')}")
    if request.method not in ("GET", "HEAD"):
        lines.append("Content-Length: 0")
    lines += [f"{name}: {value}" for name, value in (*passed_on(request.headers), *more)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


async def read_head(backend: Duplex) -> Head:
    """Raises ValueError for what is no HTTP, ConnectionError when the backend hangs up."""
    data = bytearray()
    while (end := data.find(b"\r\n\r\n")) < 0:
        if len(data) > MAX_HEAD_BYTES:
            raise ValueError("the backend's answer has no end of its head")
        piece = await backend.read()
        if not piece:
            raise ConnectionResetError("the backend hung up")
        data += piece
    raw, rest = bytes(data[: end + 4]), bytes(data[end + 4 :])
    first, *lines = raw[:-4].decode("latin-1").split("\r\n")
    version, _, status = first.partition(" ")
    if not version.startswith("HTTP/1.") or not status[:3].isdigit():
        raise ValueError("the backend does not speak HTTP")
    pairs = (line.partition(":")[::2] for line in lines)
    return Head(raw, int(status[:3]), {name.strip().lower(): value.strip() for name, value in pairs}, rest)


async def _refusal(head: Head, backend: Duplex) -> Response:
    """The backend's own answer."""
    try:
        if head.status < 400:
            raise errors.internal(f"invalid upgrade response: status code {head.status}")
        size = head.headers.get("content-length", "")
        wanted = min(int(size) if size.isdigit() else MAX_ERROR_BYTES, MAX_ERROR_BYTES)
        body = bytearray(head.rest)
        while len(body) < wanted and (piece := await backend.read()):
            body += piece
        content_type = head.headers.get("content-type", "text/plain; charset=utf-8")
        return Response(head.status, bytes(body[:wanted]), content_type)
    finally:
        backend.close()
