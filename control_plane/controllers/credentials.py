"""Each loop writes as a service account of its own, with its own role and nothing more.

As kube-controller-manager with `--use-service-account-credentials`: the account `kube-system/<name>` is made
when it is missing, a token is asked for it, and asked for again before it runs out. Reads that all loops share
go under the process's own name.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_already_exists, is_not_found
from control_plane.client.client import Client
from control_plane.client.gvr import SERVICE_ACCOUNTS
from control_plane.client.transport import Stream, Transport
from control_plane.client.types import Response

NAMESPACE = "kube-system"
TOKEN_LIFETIME_S = 3600
RENEW_AT = 0.8  # of a token's life


class AccountToken:
    """The token of one service account, kept fresh."""

    def __init__(self, client: Client, account: str) -> None:
        self._client = client
        self._account = account
        self._token = ""
        self._renew_at_s = 0.0
        self._asking = asyncio.Lock()

    async def get(self) -> str:
        """Raises StatusError, ConnectionFailed."""
        async with self._asking:
            if not self._token or self._client.clock.wall() >= self._renew_at_s:
                await self._ask()
        return self._token

    def refused(self, token: str) -> None:
        """The server does not know it: the account was made anew, or the signing key changed."""
        if token == self._token:
            self._token = ""

    async def _ask(self) -> None:
        try:
            answer = await self._request()
        except StatusError as error:
            if not is_not_found(error):
                raise
            await self._create_account()
            answer = await self._request()
        now = self._client.clock.wall()
        expires = meta.parse_time(answer["status"].get("expirationTimestamp")) or now
        self._token = answer["status"]["token"]
        self._renew_at_s = now + (expires - now) * RENEW_AT

    async def _request(self) -> dict[str, dict[str, str]]:
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": TOKEN_LIFETIME_S},
        }
        return await self._client.create(SERVICE_ACCOUNTS, body, NAMESPACE, "token", self._account)

    async def _create_account(self) -> None:
        metadata = {"name": self._account, "namespace": NAMESPACE}
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
        try:
            await self._client.create(SERVICE_ACCOUNTS, account)
        except StatusError as error:
            if not is_already_exists(error):
                raise


class AccountTransport:
    """A transport without a certificate, for one account."""

    def __init__(self, inner: Transport, token: AccountToken) -> None:
        self._inner = inner
        self._token = token

    async def request(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> Response:
        token = await self._token.get()
        response = await self._inner.request(method, target, _with(headers, token), body, timeout_s)
        if response.status != 401:
            return response
        self._token.refused(token)
        token = await self._token.get()
        return await self._inner.request(method, target, _with(headers, token), body, timeout_s)

    def stream(
        self, method: str, target: str, headers: Mapping[str, str], idle_timeout_s: float
    ) -> AbstractAsyncContextManager[Stream]:
        return self._stream(method, target, headers, idle_timeout_s)

    @asynccontextmanager
    async def _stream(
        self, method: str, target: str, headers: Mapping[str, str], idle_timeout_s: float
    ) -> AsyncIterator[Stream]:
        token = await self._token.get()
        async with self._inner.stream(method, target, _with(headers, token), idle_timeout_s) as stream:
            if stream.status == 401:
                self._token.refused(token)
            yield stream

    async def close(self) -> None:
        """The connections are shared; their owner closes them."""


def _with(headers: Mapping[str, str], token: str) -> dict[str, str]:
    return {**headers, "Authorization": f"Bearer {token}"}


def client_for(client: Client, bare: Transport, account: str) -> Client:
    """`bare`: a transport to the same server that shows no certificate."""
    transport = AccountTransport(bare, AccountToken(client, account))
    return Client(transport=transport, clock=client.clock, rng=client.random, user_agent=client.user_agent)
