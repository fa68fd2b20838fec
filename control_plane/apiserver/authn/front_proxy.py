"""Users named by a trusted front proxy in headers (`X-Remote-User` and its kin).

The headers count only when the connection's certificate was issued by the front proxy's own authority and, if
names are configured, carries one of them. Otherwise they are ignored as if absent: anyone can send a header.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from cryptography import x509

from control_plane.apiserver.authn.interface import Unauthenticated
from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.authn.x509 import PeerCertificate, read_certificate
from control_plane.apiserver.messages import Connection, Request

_MEMO = "authn.front_proxy"


@dataclass(frozen=True, slots=True)
class FrontProxyHeaders:
    user: Sequence[str] = ("X-Remote-User",)
    uid: Sequence[str] = ("X-Remote-Uid",)
    group: Sequence[str] = ("X-Remote-Group",)
    extra_prefix: Sequence[str] = ("X-Remote-Extra-",)


class FrontProxyAuthenticator:
    def __init__(
        self,
        authorities: Sequence[x509.Certificate],
        allowed_names: Sequence[str] = (),
        headers: FrontProxyHeaders | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._authorities = list(authorities)
        self._allowed_names = frozenset(allowed_names)
        self._headers = headers or FrontProxyHeaders()
        self._clock = clock

    async def authenticate(self, request: Request) -> UserInfo | None:
        name = first_header(request, self._headers.user)
        if not name or not self._is_proxy(request.connection):
            return None
        groups = tuple(value for header in self._headers.group for value in request.headers_all(header))
        extra = extra_headers(request, self._headers.extra_prefix)
        return UserInfo(name, first_header(request, self._headers.uid), groups, extra)

    def _is_proxy(self, connection: Connection) -> bool:
        peer = self._peer(connection)
        if peer is None or peer.issuer_index < 0:
            return False
        if self._allowed_names and peer.common_name not in self._allowed_names:
            raise Unauthenticated(f"the front proxy's name {peer.common_name!r} is not allowed")
        if self._clock() > peer.not_after_s:
            raise Unauthenticated("the front proxy's certificate has expired")
        return True

    def _peer(self, connection: Connection) -> PeerCertificate | None:
        if _MEMO not in connection.memo:
            der = connection.certificate_der()
            connection.memo[_MEMO] = None if der is None else read_certificate(der, self._authorities)
        memo: PeerCertificate | None = connection.memo[_MEMO]
        return memo


def first_header(request: Request, names: Sequence[str]) -> str:
    return next((value for name in names if (value := request.headers.get(name, ""))), "")


def extra_headers(request: Request, prefixes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Headers below a prefix: the rest of the name, decoded and in lower case, with all its values."""
    extra: dict[str, tuple[str, ...]] = {}
    for name in dict.fromkeys(header.lower() for header in request.headers):
        for prefix in prefixes:
            if name.startswith(prefix.lower()):
                extra[unquote(name[len(prefix) :])] = tuple(request.headers_all(name))
    return extra
