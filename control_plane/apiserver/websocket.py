"""An answer as the messages of a WebSocket, for clients that cannot read a body as it comes (RFC 6455).

Only what flows to the client is of use; what it sends is read for its end. The subprotocol says whether messages
are binary or base64 in text.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Awaitable, Callable
from hashlib import sha1

from control_plane.api import errors
from control_plane.apiserver.messages import Request, Response
from control_plane.client.streams.duplex import Duplex, first_of
from control_plane.client.streams.handshake import WEBSOCKET_PROTOCOL, offered, upgrade_of

Write = Callable[[bytes], Awaitable[None]]

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_BASE64 = "base64.binary.k8s.io"
_PROTOCOLS = ("", "binary.k8s.io", _BASE64)
_BEARER_PREFIX = "base64url.bearer.authorization.k8s.io."
_FINAL_TEXT, _FINAL_BINARY = 0x81, 0x82
_CLOSED_WELL = b"\x88\x02\x03\xe8"  # 1000


def is_asked_for(request: Request) -> bool:
    return upgrade_of(request.headers) == "websocket"


def answer(request: Request, produce: Callable[[Write], Awaitable[None]]) -> Response:
    """Raises StatusError BadRequest for a handshake that is none."""
    key = request.headers.get("Sec-WebSocket-Key", "")
    if not key or request.headers.get("Sec-WebSocket-Version") != "13":
        raise errors.bad_request("not a WebSocket handshake")
    protocol = _chosen(request)
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    lines.append(f"Sec-WebSocket-Accept: {_accept(key)}")
    if protocol:
        lines.append(f"{WEBSOCKET_PROTOCOL}: {protocol}")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    async def run(client: Duplex) -> None:
        await client.write(head)

        async def write(piece: bytes) -> None:
            await client.write(frame(piece, in_text=protocol == _BASE64))

        async def send() -> None:
            await produce(write)
            await client.write(_CLOSED_WELL)

        await first_of(send(), _ended(client))

    return Response(101, upgrade=run)


def frame(piece: bytes, in_text: bool) -> bytes:
    content = b64encode(piece) if in_text else piece
    size, first = len(content), _FINAL_TEXT if in_text else _FINAL_BINARY
    if size < 126:
        return bytes((first, size)) + content
    if size < 1 << 16:
        return bytes((first, 126)) + size.to_bytes(2, "big") + content
    return bytes((first, 127)) + size.to_bytes(8, "big") + content


def _chosen(request: Request) -> str:
    words = offered([request.headers.get(WEBSOCKET_PROTOCOL, "")])
    offers = [each for each in words if not each.startswith(_BEARER_PREFIX)]
    known = [each for each in offers if each in _PROTOCOLS]
    if offers and not known:
        raise errors.bad_request(f"none of the subprotocols is known: {' '.join(offers)}")
    return known[0] if known else ""


def _accept(key: str) -> str:
    return b64encode(sha1(key.encode("latin-1", "replace") + _GUID).digest()).decode()  # noqa: S324 - RFC 6455


async def _ended(client: Duplex) -> None:
    while await client.read():
        pass
