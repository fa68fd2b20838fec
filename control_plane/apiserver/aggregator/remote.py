"""An APIService that another server serves: where it is, how it is trusted, and who we are to it.

Every connection carries the front proxy's client certificate; by it the other server believes what the headers say
of the user. Connections are pooled; the certificate is read again when its file changes.
"""

from __future__ import annotations

import base64
import binascii
import ssl
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from certs.errors import CertsError
from certs.tls import load_chain
from control_plane.api import meta
from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.egress import Egress
from control_plane.client.streams.duplex import Duplex

DEFAULT_PORT = 443
MAX_CONTEXTS = 64
CONNECT_TIMEOUT_S = 10.0
AGGREGATOR = UserInfo("system:kube-aggregator", groups=("system:masters",))

Object = dict[str, Any]


class Unusable(Exception):
    """The APIService's certificates, or ours, cannot be used."""


@dataclass(frozen=True, slots=True)
class Remote:
    name: str
    group: str
    version: str
    namespace: str
    service: str
    port: int
    ca_bundle: str
    insecure: bool
    group_priority: int
    version_priority: int
    available: bool

    @property
    def base_url(self) -> str:
        return f"https://{self.service}.{self.namespace}.svc:{self.port}"

    @property
    def path(self) -> str:
        """What the server must answer to be one."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"


def parse(api_service: Object) -> Remote | None:
    """None for one that is served here."""
    spec = api_service.get("spec") or {}
    service = spec.get("service")
    if not service:
        return None
    return Remote(
        name=meta.name_of(api_service),
        group=spec.get("group", ""),
        version=spec.get("version", ""),
        namespace=service.get("namespace", ""),
        service=service.get("name", ""),
        port=service.get("port") or DEFAULT_PORT,
        ca_bundle=spec.get("caBundle") or "",
        insecure=bool(spec.get("insecureSkipTLSVerify")),
        group_priority=spec.get("groupPriorityMinimum") or 0,
        version_priority=spec.get("versionPriority") or 0,
        available=meta.condition_is_true(api_service, "Available"),
    )


class Identity:
    """The TLS contexts for remotes, with the front proxy's client certificate (none: no user can be told of)."""

    def __init__(self, cert_file: Path | None, key_file: Path | None) -> None:
        self._cert_file = cert_file
        self._key_file = key_file or cert_file
        self._contexts: OrderedDict[tuple[str, bool, int], ssl.SSLContext] = OrderedDict()

    def context(self, remote: Remote) -> ssl.SSLContext:
        """Raises Unusable."""
        key = (remote.ca_bundle, remote.insecure, self._changed())
        if key not in self._contexts:
            self._contexts[key] = self._make(remote)
            if len(self._contexts) > MAX_CONTEXTS:
                self._contexts.popitem(last=False)
        return self._contexts[key]

    def _changed(self) -> int:
        try:
            return self._cert_file.stat().st_mtime_ns if self._cert_file is not None else 0
        except OSError as error:
            raise Unusable(f"the front proxy's certificate cannot be read: {error}") from error

    def _make(self, remote: Remote) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            if remote.insecure:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            elif remote.ca_bundle:
                context.load_verify_locations(cadata=base64.b64decode(remote.ca_bundle).decode())
            else:
                context.load_default_certs()
            if self._cert_file is not None and self._key_file is not None:
                load_chain(context, self._cert_file, self._key_file)
        except (binascii.Error, UnicodeDecodeError, ssl.SSLError, CertsError) as error:
            raise Unusable(f"unable to load root certificates: {error}") from error
        return context


class RemoteClient:
    def __init__(self, egress: Egress, identity: Identity) -> None:
        self._egress = egress
        self._identity = identity
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def open(
        self, remote: Remote, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
    ) -> aiohttp.ClientResponse:
        """The answer's head; the caller reads and closes it. Raises Unusable, aiohttp.ClientError, OSError."""
        context = self._identity.context(remote)
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=self._egress.to_services(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
                auto_decompress=False,
                skip_auto_headers=("Accept-Encoding", "User-Agent", "Accept", "Content-Type"),
            )
        return await self._session.request(
            method,
            URL(remote.base_url + target, encoded=True),
            data=body or None,
            headers=headers,
            ssl=context,
            allow_redirects=False,
        )

    async def dial(self, remote: Remote) -> Duplex:
        """A connection that is to be upgraded. Raises Unusable, OSError, TimeoutError."""
        context = self._identity.context(remote)
        return await self._egress.dial_service(remote.namespace, remote.service, remote.port, context)


def user_headers(user: UserInfo) -> CIMultiDict[str]:
    """What the other server is told of the user."""
    headers: CIMultiDict[str] = CIMultiDict({"X-Remote-User": user.name})
    if user.uid:
        headers["X-Remote-Uid"] = user.uid
    for group in user.groups:
        headers.add("X-Remote-Group", group)
    for key, values in user.extra.items():
        for value in values:
            headers.add(f"X-Remote-Extra-{quote(key.lower(), safe='')}", value)
    return headers
