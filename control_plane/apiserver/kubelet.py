"""The apiserver as a client of node agents: where a node's kubelet API listens, and requests to it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import aiohttp

from control_plane.api import errors
from control_plane.apiserver.messages import Write
from control_plane.client.streams.duplex import Duplex, SocketDuplex

DEFAULT_ADDRESS_TYPES = ("ExternalIP", "InternalIP", "Hostname")
DEFAULT_PORT = 10250
CONNECT_TIMEOUT_S = 10.0
CHUNK_SIZE_BYTES = 64 * 1024
MAX_ERROR_SIZE_BYTES = 64 * 1024

Object = dict[str, Any]


class KubeletClient:
    """`context` None: no client certificate was configured, and nodes cannot be asked."""

    def __init__(
        self, context: ssl.SSLContext | None, address_types: Sequence[str] = DEFAULT_ADDRESS_TYPES
    ) -> None:
        self._context = context
        self._address_types = address_types
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def base_url(self, node: Object) -> str:
        """Raises StatusError when the node has no usable address."""
        status = node.get("status") or {}
        port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get(
            "Port"
        ) or DEFAULT_PORT
        addresses = status.get("addresses") or []
        for wanted in self._address_types:
            for address in addresses:
                if address.get("type") == wanted and address.get("address"):
                    host = address["address"]
                    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        name = node["metadata"]["name"]
        raise errors.internal(f"no preferred addresses found; known addresses: {addresses} (node {name})")

    async def dial(self, node: Object) -> tuple[Duplex, str]:
        """A connection of our own to the node's kubelet API, and the host and port it has. Raises StatusError."""
        context = self._tls()
        url = urlsplit(self.base_url(node))
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                reader, writer = await asyncio.open_connection(url.hostname, url.port, ssl=context)
        except (OSError, TimeoutError) as error:
            raise errors.internal(f"error dialing backend: {error or 'i/o timeout'}") from error
        return SocketDuplex(reader, writer), url.netloc

    async def open(
        self, node: Object, path: Sequence[str], query: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        """GET `path` of the node's kubelet API; the caller reads and closes the answer. Raises StatusError."""
        url = f"{self.base_url(node)}/{'/'.join(quote(part, safe='') for part in path)}"
        if query:
            url += f"?{urlencode(query)}"
        session = self.session()
        try:
            return await session.get(url)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise errors.internal(f"Get {errors.quote(url)}: {error}") from error

    def session(self) -> aiohttp.ClientSession:
        """Shows our client certificate: for nodes' kubelet APIs only. Raises StatusError."""
        context = self._tls()
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
            connector = aiohttp.TCPConnector(ssl=context, limit=0, keepalive_timeout=15)
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=timeout,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            raise errors.internal(
                "no client certificate for kubelets is configured (--kubelet-client-certificate)"
            )
        return self._context


async def copy(response: aiohttp.ClientResponse, write: Write) -> None:
    """Hand on the answer's body as it comes."""
    try:
        async for piece in response.content.iter_any():
            await write(piece)
    except aiohttp.ClientError:
        return  # the node went away: the stream ends, as kubectl expects
    finally:
        response.close()
