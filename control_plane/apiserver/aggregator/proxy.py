"""Handing a request on to the server of its APIService, and the answer back as it comes.

The user was authenticated and authorized here; the other server learns who it is from headers that it believes
because of our client certificate. What the client itself sent under those names is dropped, and so are its
credentials, which are nobody else's business.
"""

from __future__ import annotations

from urllib.parse import quote

import aiohttp
from multidict import CIMultiDict

from control_plane.apiserver.aggregator.remote import Remote, RemoteClient, Unusable, user_headers
from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.core import Core
from control_plane.apiserver.egress import SERVICE_SUFFIX
from control_plane.apiserver.messages import JSON, TEXT, Request, Response, Write
from control_plane.apiserver.tracing.context import outgoing
from control_plane.client.streams.handshake import upgrade_of
from store.component import logs

MAX_PROXIED_BODY_BYTES = 32 * 1024 * 1024

log = logs.get("apiserver.aggregator")

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_NOT_HANDED_ON = _HOP_BY_HOP | {"host", "content-length", "authorization"}
_PREFIXES_NOT_HANDED_ON = ("x-remote-", "impersonate-")


async def serve(
    core: Core, client: RemoteClient, remote: Remote, request: Request, user: UserInfo
) -> Response:
    """Raises BodyTooLarge, StatusError."""
    if not remote.available:
        return _unavailable()
    if upgrade_of(request.headers):
        return await _upgraded(core, client, remote, request, user)
    body = await request.read(MAX_PROXIED_BODY_BYTES)
    headers = request_headers(request, user)
    try:
        answer = await client.open(remote, request.method, target_of(request), headers, body)
    except (aiohttp.ClientError, OSError, Unusable) as error:
        log.warning("an aggregated server cannot be reached", apiservice=remote.name, reason=error)
        return _unavailable(str(error))
    return response_of(answer)


async def _upgraded(
    core: Core, client: RemoteClient, remote: Remote, request: Request, user: UserInfo
) -> Response:
    """WebSocket, SPDY, anything else: joined byte for byte once the other server has agreed. Raises StatusError."""
    try:
        backend = await client.dial(remote)
    except (OSError, TimeoutError, Unusable) as error:
        log.warning("an aggregated server cannot be reached", apiservice=remote.name, reason=error)
        return _unavailable(str(error))
    host = f"{remote.service}.{remote.namespace}{SERVICE_SUFFIX}"
    headers = [*user_headers(user).items(), *outgoing().items()]
    return await core.tunnels.open(request, backend, host, target_of(request), core.stopping, headers)


def target_of(request: Request) -> str:
    path = quote(request.path, safe="/:@!$&'()*+,;=~")
    return f"{path}?{request.raw_query}" if request.raw_query else path


def request_headers(request: Request, user: UserInfo) -> CIMultiDict[str]:
    headers: CIMultiDict[str] = CIMultiDict()
    for name in dict.fromkeys(each.lower() for each in request.headers):
        if name in _NOT_HANDED_ON or name.startswith(_PREFIXES_NOT_HANDED_ON):
            continue
        for value in request.headers_all(name):
            headers.add(name, value)
    forwarded = [*request.headers_all("X-Forwarded-For"), request.connection.remote]
    headers["X-Forwarded-For"] = ", ".join(each for each in forwarded if each)
    headers.extend(user_headers(user))
    headers.update(outgoing())
    return headers


def response_of(answer: aiohttp.ClientResponse) -> Response:
    headers: dict[str, str] = {}
    for name in dict.fromkeys(answer.headers):
        if name.lower() not in _HOP_BY_HOP | {"content-type", "content-length"}:
            headers[name] = ", ".join(answer.headers.getall(name))

    async def stream(write: Write) -> None:
        try:
            async for piece in answer.content.iter_any():
                await write(piece)
        except aiohttp.ClientError as error:
            raise ConnectionError("the aggregated server has ended its answer early") from error
        finally:
            answer.close()

    return Response(answer.status, b"", answer.headers.get("Content-Type", JSON), headers, stream=stream)


def _unavailable(why: str = "service unavailable") -> Response:
    return Response(503, f"{why}\n".encode(), TEXT, {"X-Content-Type-Options": "nosniff"})
