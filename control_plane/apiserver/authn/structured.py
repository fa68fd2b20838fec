"""What `--authentication-config` adds: token authenticators and the rule for anonymous requests, replaced together
when the file has changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from control_plane.apiserver.authn.anonymous import AnonymousAuthenticator, AnonymousConfig
from control_plane.apiserver.authn.bearer import first_answer
from control_plane.apiserver.authn.configuration import (
    AuthenticationConfiguration,
    BadAuthentication,
    load,
)
from control_plane.apiserver.authn.interface import TokenResult
from control_plane.apiserver.reloading import Reloading, ReloadMetrics

METRICS = ReloadMetrics("authentication")


class StructuredAuthentication:
    """A token authenticator of all configured issuers. Raises BadAuthentication."""

    def __init__(self, path: Path, own_issuers: Sequence[str], anonymous_by_flag: bool) -> None:
        self._own_issuers = tuple(own_issuers)
        self._by_flag = AnonymousConfig(anonymous_by_flag)
        self._current = AuthenticationConfiguration()
        self.anonymous = AnonymousAuthenticator(self._by_flag)
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise BadAuthentication(
                f"cannot read the authentication configuration {path}: {error.strerror}"
            ) from error
        self._use(raw)
        self.reloading = Reloading(path, METRICS, self._use, BadAuthentication)
        self.reloading.start(raw)

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenResult | None:
        return await first_answer(self._current.issuers, token, audiences)

    def _use(self, raw: bytes) -> None:
        self._current = load(raw, self._own_issuers)
        self.anonymous.config = self._current.anonymous or self._by_flag
