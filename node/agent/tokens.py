"""Service-account tokens for pods: asked for by TokenRequest, bound to the pod, renewed at 80 % of their life
(or after 24 hours), kept in memory only."""

from __future__ import annotations

from dataclasses import dataclass

from control_plane.api.errors import StatusError
from control_plane.client import gvr
from control_plane.client.client import Client
from control_plane.client.clock import Clock
from control_plane.client.errors import ClientError
from node.agent import times
from node.agent.errors import VolumeError
from node.agent.pod_spec import Obj, name, namespace, uid

MAX_AGE_S = 24 * 3600.0
RENEW_AT = 0.8
DEFAULT_LIFE_S = 3600


@dataclass(frozen=True, slots=True)
class Token:
    value: str
    issued_at_s: float
    expires_at_s: float

    @property
    def renew_at_s(self) -> float:
        return self.issued_at_s + min((self.expires_at_s - self.issued_at_s) * RENEW_AT, MAX_AGE_S)


class TokenCache:
    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._tokens: dict[tuple[str, str, int], Token] = {}  # pod uid, audience, life

    async def get(self, pod: Obj, audience: str, life_s: int) -> Token:
        """A token that need not be renewed yet; an old one is good while the API does not answer."""
        key = (uid(pod), audience, life_s)
        known, now_s = self._tokens.get(key), self._clock.wall()
        if known is not None and now_s < known.renew_at_s:
            return known
        try:
            self._tokens[key] = await self._request(pod, audience, life_s, now_s)
        except (StatusError, ClientError) as error:
            if known is None or now_s >= known.expires_at_s:
                raise VolumeError(f"failed to fetch token: {error}") from error
            return known
        return self._tokens[key]

    async def _request(self, pod: Obj, audience: str, life_s: int, now_s: float) -> Token:
        account = pod["spec"].get("serviceAccountName") or "default"
        bound = {"apiVersion": "v1", "kind": "Pod", "name": name(pod), "uid": uid(pod)}
        spec: Obj = {"expirationSeconds": life_s, "boundObjectRef": bound}
        if audience:
            spec["audiences"] = [audience]
        request: Obj = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        answer = await self._client.create(gvr.SERVICE_ACCOUNTS, request, namespace(pod), "token", account)
        status = answer["status"]
        return Token(status["token"], now_s, times.parse(status["expirationTimestamp"]))

    def forget(self, pod_uid: str) -> None:
        for key in [each for each in self._tokens if each[0] == pod_uid]:
            del self._tokens[key]
