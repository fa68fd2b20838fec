"""Requests handed on to what runs in the cluster (the proxy subresources), and the answers back as they come.

The backend sees neither the client's credentials nor its connection. Redirects to itself are rewritten, so that
they lead through the proxy again; links inside of pages are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from control_plane.api import errors
from control_plane.apiserver.egress import CONNECT_TIMEOUT_S, Egress, ServiceResolver, unverified
from control_plane.apiserver.messages import Request, Response, Write
from control_plane.apiserver.tunnels import HOP_BY_HOP, passed_on
from control_plane.client.streams.duplex import Duplex

MAX_BODY_BYTES = 32 * 1024 * 1024  # of a request; answers are streamed
_OF_OURS = HOP_BY_HOP | {"content-type", "content-length", "location"}
_WITHOUT_BODY = (204, 304)


@dataclass(frozen=True, slots=True)
class Backend:
    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes: `path` (encoded, with its query) of the backend is `prefix` + path of ours."""

    backend: Backend
    path: str
    prefix: str


class Proxy:
    """`egress` None: the cluster shares our network."""

    def __init__(self, egress: Egress | None = None) -> None:
        self._egress = egress
        self._session: aiohttp.ClientSession | None = None

    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = self._egress.to_pods() if self._egress else aiohttp.TCPConnector(ssl=unverified())
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def dial(self, backend: Backend) -> Duplex:
        """For what is upgraded. Raises StatusError."""
        egress = self._egress or Egress(_nothing())
        try:
            return await egress.dial(backend.host, backend.port, backend.scheme == "https")
        except OSError as error:
            raise _unreachable(backend, error) from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


async def hand_on(session: aiohttp.ClientSession, request: Request, target: Target) -> Response:
    """Raises StatusError ServiceUnavailable, BodyTooLarge."""
    backend = target.backend
    body = await request.read(MAX_BODY_BYTES)
    url = URL(f"{backend.scheme}://{backend.authority}{target.path}", encoded=True)
    try:
        answer = await session.request(
            request.method, url, headers=_headers(request), data=body or None, allow_redirects=False,
            skip_auto_headers=("User-Agent", "Content-Type", "Accept", "Accept-Encoding"),
        )  # fmt: skip
    except aiohttp.ClientConnectorError as error:
        raise _unreachable(backend, error.os_error) from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise errors.service_unavailable(
            f"error trying to reach service: {error or 'i/o timeout'}"
        ) from error
    return _answered(request, answer, target)


def _headers(request: Request) -> CIMultiDict[str]:
    headers = CIMultiDict(passed_on(request.headers))
    came_from = [*request.headers_all("X-Forwarded-For"), request.connection.remote]
    headers["X-Forwarded-For"] = ", ".join(each for each in came_from if each)
    headers["X-Forwarded-Uri"] = request.raw_path
    headers["X-Forwarded-Proto"] = "https"
    if host := request.headers.get("Host", ""):
        headers["X-Forwarded-Host"] = host
    return headers


def _answered(request: Request, answer: aiohttp.ClientResponse, target: Target) -> Response:
    repeated = [(name, value) for name, value in answer.headers.items() if name.lower() not in _OF_OURS]
    if location := answer.headers.get("Location"):
        repeated.append(("Location", rewritten(location, target)))
    response = Response(
        answer.status,
        content_type=answer.headers.get("Content-Type", "application/octet-stream"),
        repeated=repeated,
    )
    if request.method == "HEAD" or answer.status in _WITHOUT_BODY:
        answer.release()
        return response

    async def stream(write: Write) -> None:
        try:
            async for piece in answer.content.iter_any():
                await write(piece)
        except aiohttp.ClientError as error:
            raise ConnectionError("the backend has ended its answer early") from error
        finally:
            answer.close()

    response.stream = stream
    return response


def rewritten(location: str, target: Target) -> str:
    """A redirect within the backend, as a path of ours; others are left alone."""
    parts = urlsplit(location)
    if parts.netloc and parts.netloc not in (target.backend.authority, target.backend.host):
        return location
    if not parts.netloc and not location.startswith("/"):
        return location
    return target.prefix + parts._replace(scheme="", netloc="").geturl()


def _unreachable(backend: Backend, error: OSError) -> errors.StatusError:
    why = (error.strerror or str(error) or "i/o timeout").lower()
    why = "connection refused" if isinstance(error, ConnectionRefusedError) else why
    return errors.service_unavailable(
        f"error trying to reach service: dial tcp {backend.authority}: connect: {why}"
    )


class _Nothing:
    def get(self, group: str, resource: str, namespace: str, name: str) -> None:
        return None

    def list(self, group: str, resource: str, namespace: str = "") -> tuple[()]:
        return ()


def _nothing() -> ServiceResolver:
    return ServiceResolver(_Nothing())
