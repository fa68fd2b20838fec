"""The words of an upgrade: what a request offers, and which of it is chosen. The client's order decides, as in
Kubernetes' own servers."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from control_plane.client.streams.errors import NotAnUpgrade

SPDY = "SPDY/3.1"
STREAM_PROTOCOL = "X-Stream-Protocol-Version"
ACCEPTED_PROTOCOLS = "X-Accepted-Stream-Protocol-Versions"
WEBSOCKET_PROTOCOL = "Sec-WebSocket-Protocol"
TUNNELED_PORT_FORWARD = "SPDY/3.1+portforward.k8s.io"  # a WebSocket whose messages are a SPDY connection
PORT_FORWARD = "portforward.k8s.io"


def upgrade_of(headers: Mapping[str, str]) -> str:
    """`websocket`, `spdy/3.1` or another protocol in lower case; "" when no upgrade is asked for."""
    wants = {word.strip().lower() for word in headers.get("Connection", "").split(",")}
    return headers.get("Upgrade", "").strip().lower() if "upgrade" in wants else ""


def offered(values: list[str]) -> list[str]:
    """The words of a header that may be repeated, listed with commas, or both."""
    return [word.strip() for value in values for word in value.split(",") if word.strip()]


def chosen(offers: list[str], known: Collection[str]) -> str:
    """Raises NotAnUpgrade when nothing offered is known."""
    for each in offers:
        if each in known:
            return each
    shown = " ".join(offers)
    raise NotAnUpgrade(f"unable to upgrade: unable to negotiate protocol: client supports [{shown}]")


def spdy_answer(protocol: str) -> bytes:
    """The head of the 101 that begins a SPDY connection."""
    return (
        "HTTP/1.1 101 Switching Protocols\r\n"
        f"Connection: Upgrade\r\nUpgrade: {SPDY}\r\n{STREAM_PROTOCOL}: {protocol}\r\n\r\n"
    ).encode("latin-1")
