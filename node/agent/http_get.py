"""One HTTP/1.1 GET over a given socket, for probes and hooks: no pool, no cookies, a bounded body.

Certificates are not checked, as kubelet's probes do not: the address is a pod's, its name unknown.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

MAX_BODY_BYTES = 10 * 1024
MAX_HEADER_BYTES = 64 * 1024
MAX_REDIRECTS = 10

Connect = Callable[[str, int], Awaitable[socket.socket]]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    location: str
    body: bytes


async def get(connect: Connect, url: str, host: str, headers: Sequence[tuple[str, str]]) -> Answer:
    """Follows redirects within the host; a redirect elsewhere is an answer. Raises OSError or ValueError."""
    origin = urlsplit(url).hostname
    for _ in range(MAX_REDIRECTS):
        answer = await _get_once(connect, url, host, headers)
        target = urljoin(url, answer.location)
        if not 300 <= answer.status < 400 or not answer.location or urlsplit(target).hostname != origin:
            return answer
        url = target
    raise ValueError(f"stopped after {MAX_REDIRECTS} redirects")


async def _get_once(connect: Connect, url: str, host: str, headers: Sequence[tuple[str, str]]) -> Answer:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    address, port = parts.hostname or "", parts.port or (443 if secure else 80)
    sock = await connect(address, port)
    try:
        reader, writer = await asyncio.open_connection(
            sock=sock, limit=MAX_HEADER_BYTES, ssl=_unverified() if secure else None,
            server_hostname=(host or address) if secure else None,
        )  # fmt: skip
    except BaseException:
        sock.close()
        raise
    try:
        writer.write(_request(parts.path or "/", parts.query, host or _authority(address, port), headers))
        await writer.drain()
        return await _answer(reader)
    except asyncio.LimitOverrunError as error:
        raise ValueError("response header too large") from error
    except asyncio.IncompleteReadError as error:
        raise ConnectionError("EOF") from error
    finally:
        writer.close()


def _authority(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _request(path: str, query: str, host: str, headers: Sequence[tuple[str, str]]) -> bytes:
    given = {name.lower() for name, _ in headers}
    lines = [f"GET {path}{'?' + query if query else ''} HTTP/1.1"]
    if "host" not in given:
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in headers]
    lines += ["Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace")


async def _answer(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *rest = head.split("\r\n")
    version, _, tail = first.partition(" ")
    status = tail.split(" ", 1)[0]
    if not version.startswith("HTTP/") or not status.isdigit():
        raise ValueError(f"malformed HTTP response {first!r}")
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (each.partition(":") for each in rest)
    }
    body = await _body(reader, headers)
    return Answer(int(status), headers.get("location", ""), body)


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    wanted = MAX_BODY_BYTES
    if headers.get("content-length", "").isdigit():
        wanted = min(wanted, int(headers["content-length"]))
    body = b""
    while len(body) < wanted and (chunk := await reader.read(wanted - len(body))):
        body += chunk
    return body


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
