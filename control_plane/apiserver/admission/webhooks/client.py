"""Asking a webhook: one POST over a pooled connection, at most so long and for an answer of at most such a size.

One client per process; its sessions are made when first needed. The certificate of a service is for
`name.namespace.svc`; which authority may have signed it is the configuration's caBundle alone, or the host's
authorities where it has none.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import ssl
from functools import lru_cache

import aiohttp
import orjson

from control_plane.api.errors import quote
from control_plane.apiserver.admission.webhooks.configuration import Endpoint
from control_plane.apiserver.egress import Egress
from control_plane.apiserver.messages import JSON
from control_plane.apiserver.tracing.context import outgoing

MAX_ANSWER_SIZE_BYTES = 16 * 1024 * 1024
MAX_ERROR_CHARS = 1024
MAX_CONTEXTS = 256

Object = dict[str, object]

_MEANINGS = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    503: "the server is currently unable to handle the request",
}


class Unreachable(Exception):
    """The webhook gave no answer; the message says why as a Go client would."""


class WebhookClient:
    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        self._by_service: aiohttp.ClientSession | None = None
        self._by_url: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        for session in (self._by_service, self._by_url):
            if session is not None:
                await session.close()

    async def post(self, endpoint: Endpoint, review: Object, timeout_s: float) -> bytes:
        """The body of the answer. Raises Unreachable."""
        url = url_of(endpoint)
        body = orjson.dumps(review)
        asked = f"{url}{'&' if '?' in url else '?'}timeout={timeout_s:g}s"
        try:
            async with asyncio.timeout(timeout_s):
                return await self._post(endpoint, asked, body)
        except TimeoutError as error:
            raise Unreachable(f"Post {quote(asked)}: context deadline exceeded") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"Post {quote(asked)}: {describe(error)}") from error

    async def _post(self, endpoint: Endpoint, url: str, body: bytes) -> bytes:
        context, session = _context(endpoint.ca_bundle), self._session(endpoint)
        try:
            return await _exchange(session, url, body, context)
        except aiohttp.ServerDisconnectedError:
            # A connection that was idle has been closed by the other side just as we used it.
            return await _exchange(session, url, body, context)

    def _session(self, endpoint: Endpoint) -> aiohttp.ClientSession:
        if endpoint.service is not None:
            if self._by_service is None:
                self._by_service = _session_on(self._egress.to_services())
            return self._by_service
        if self._by_url is None:
            self._by_url = _session_on(self._egress.to_urls())
        return self._by_url


def _session_on(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None),
        headers={"Content-Type": JSON, "Accept": f"{JSON}, */*", "User-Agent": "kube-apiserver-admission"},
    )


async def _exchange(session: aiohttp.ClientSession, url: str, body: bytes, context: ssl.SSLContext) -> bytes:
    headers = outgoing()
    async with session.post(url, data=body, headers=headers, ssl=context, allow_redirects=False) as response:
        answer = await response.content.read(MAX_ANSWER_SIZE_BYTES + 1)
        while len(answer) <= MAX_ANSWER_SIZE_BYTES:
            more = await response.content.read(MAX_ANSWER_SIZE_BYTES + 1 - len(answer))
            if not more:
                break
            answer += more
    if len(answer) > MAX_ANSWER_SIZE_BYTES:
        raise Unreachable(f"the answer is longer than {MAX_ANSWER_SIZE_BYTES} bytes")
    if not 200 <= response.status < 300:
        raise Unreachable(_meaning(response.status, answer))
    return answer


def _meaning(code: int, body: bytes) -> str:
    if code in _MEANINGS:
        return _MEANINGS[code]
    shown = body[:MAX_ERROR_CHARS].decode("utf-8", "replace").strip() or "unknown"
    if code >= 500:
        return f"an error on the server ({quote(shown)}) has prevented the request from succeeding"
    return f"the server responded with the status code {code} but did not return more information"


def url_of(endpoint: Endpoint) -> str:
    """Raises Unreachable."""
    service = endpoint.service
    if service is not None:
        return f"https://{service.name}.{service.namespace}.svc:{service.port}{service.path}"
    if not endpoint.url:
        raise Unreachable("webhook configuration must have either service or URL")
    return endpoint.url


@lru_cache(maxsize=MAX_CONTEXTS)
def _context(ca_bundle: str) -> ssl.SSLContext:
    """Raises Unreachable."""
    if not ca_bundle:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=base64.b64decode(ca_bundle).decode())
    except (binascii.Error, UnicodeDecodeError, ssl.SSLError) as error:
        raise Unreachable("unable to load root certificates: unable to parse bytes as PEM block") from error
    return context


def describe(error: Exception) -> str:
    """What went wrong with a connection."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"tls: failed to verify certificate: x509: {_certificate_problem(error.certificate_error)}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"{error.os_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
        reason = os.strerror(number).lower() if number else str(error.os_error)
        return f"dial tcp {error.host}:{error.port}: connect: {reason}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "EOF"
    return str(error) or type(error).__name__


def _certificate_problem(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in (18, 19, 20, 21):  # self-signed, or its issuer is not known
            return "certificate signed by unknown authority"
        return error.verify_message
    return str(error)
