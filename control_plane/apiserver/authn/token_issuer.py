"""Issues service-account tokens: the signing, and the TokenRequest that asks for one."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from certs.serviceaccount import key_id
from control_plane.api import errors, meta
from control_plane.apiserver.admission.interface import Object, Reader
from control_plane.apiserver.authn import service_accounts, token_claims
from control_plane.apiserver.authn.token_claims import BoundToken, Reference

MIN_EXPIRATION_S = 10 * 60
MAX_EXPIRATION_S = 1 << 32
DEFAULT_EXPIRATION_S = 60 * 60

_RESOURCES = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}


class TokenIssuer:
    """Signs tokens with one ES256 key. `max_expiration_s` (0: none) bounds what may be asked for."""

    def __init__(
        self,
        key: ec.EllipticCurvePrivateKey,
        issuer: str,
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._key = key
        self._key_id = key_id(key.public_key())
        self._issuer = issuer
        self._clock = clock
        self._new_id = new_id

    def issue(
        self, token: BoundToken, audiences: Sequence[str], expiration_s: float, warn_after_s: float = 0.0
    ) -> tuple[str, float]:
        """The signed token and the time of its end (seconds since the epoch)."""
        now_s = int(self._clock())
        warn_at_s = now_s + warn_after_s if warn_after_s else 0.0
        bound = BoundToken(token.namespace, token.account, token.pod, token.secret, token.node, warn_at_s)
        claims = {
            "iss": self._issuer,
            "sub": service_accounts.username(token.namespace, token.account.name),
            "aud": list(audiences),
            "iat": now_s,
            "nbf": now_s,
            "exp": now_s + int(expiration_s),
            "jti": self._new_id(),
            "kubernetes.io": bound.claims(),
        }
        signed = jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": self._key_id, "typ": None})
        return signed, float(now_s + int(expiration_s))


class TokenRequests:
    """The `token` subresource of service accounts."""

    def __init__(
        self,
        issuer: TokenIssuer,
        api_audiences: Sequence[str],
        reader: Reader,
        max_expiration_s: int = 0,
        extend_expiration: bool = True,
    ) -> None:
        self._issuer = issuer
        self._api_audiences = tuple(api_audiences)
        self._reader = reader
        self._max_expiration_s = max_expiration_s
        self._extend_expiration = extend_expiration

    async def create(self, account: Object, request: Object) -> Object:
        """The TokenRequest with its status filled in. Raises StatusError."""
        spec = dict(request.get("spec") or {})
        audiences = list(spec.get("audiences") or self._api_audiences)
        expiration_s = self._expiration_s(spec.get("expirationSeconds"), account)
        bound = spec.get("boundObjectRef")
        token = await self._bind(account, bound)
        lifetime_s, warn_after_s = self._lifetime(expiration_s, audiences, token)
        signed, end_s = self._issuer.issue(token, audiences, lifetime_s, warn_after_s)
        reported_end_s = end_s - lifetime_s + expiration_s
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {
                **meta.metadata(request),
                "name": meta.name_of(account),
                "namespace": meta.namespace_of(account),
                "creationTimestamp": meta.rfc3339(end_s - lifetime_s),
            },
            "spec": {
                "audiences": audiences,
                "expirationSeconds": expiration_s,
                **({"boundObjectRef": bound} if bound else {}),
            },
            "status": {"token": signed, "expirationTimestamp": meta.rfc3339(reported_end_s)},
        }

    def _expiration_s(self, requested: Any, account: Object) -> int:
        if requested is None:
            requested = DEFAULT_EXPIRATION_S
        field = "spec.expirationSeconds"
        finding = None
        if not isinstance(requested, int) or isinstance(requested, bool):
            raise errors.bad_request("spec.expirationSeconds must be an integer")
        if requested < MIN_EXPIRATION_S:
            finding = errors.invalid_value(
                field, requested, "may not specify a duration less than 10 minutes"
            )
        elif requested > MAX_EXPIRATION_S:
            limit = "may not specify a duration larger than 2^32 seconds"
            finding = errors.invalid_value(field, requested, limit)
        if finding is not None:
            raise errors.invalid("authentication.k8s.io", "TokenRequest", "", [finding])
        return min(requested, self._max_expiration_s) if self._max_expiration_s else requested

    def _lifetime(self, expiration_s: int, audiences: Sequence[str], token: BoundToken) -> tuple[int, int]:
        """How long the token lives, and after how long its use is worth a warning."""
        extended = (
            self._extend_expiration
            and token.pod is not None
            and expiration_s == token_claims.WARN_ONLY_EXPIRATION_S
            and set(audiences) <= set(self._api_audiences)
        )
        return (token_claims.EXTENDED_EXPIRATION_S, expiration_s) if extended else (expiration_s, 0)

    async def _bind(self, account: Object, reference: Mapping[str, Any] | None) -> BoundToken:
        namespace = meta.namespace_of(account)
        of_account = Reference(meta.name_of(account), meta.uid_of(account))
        if not reference:
            return BoundToken(namespace, of_account)
        group, version = meta.group_version(str(reference.get("apiVersion") or "v1"))
        kind, name = str(reference.get("kind") or ""), str(reference.get("name") or "")
        resource = _RESOURCES.get(kind) if not group else None
        if resource is None:
            raise errors.bad_request(f"cannot bind token to object of type {group}/{version}, Kind={kind}")
        obj = await self._get(resource, "" if kind == "Node" else namespace, name)
        if kind == "Pod" and (obj.get("spec") or {}).get("serviceAccountName") != of_account.name:
            raise errors.bad_request(
                f'cannot bind token for serviceaccount "{of_account.name}" to pod running with different '
                "serviceaccount name."
            )
        uid, wanted = meta.uid_of(obj), str(reference.get("uid") or "")
        if wanted and wanted != uid:
            raise errors.conflict(
                group,
                kind,
                name,
                f"the UID in the bound object reference ({wanted}) does not match the UID in record. "
                "The object might have been deleted and then recreated",
            )
        bound = Reference(name, uid)
        if kind == "Pod":
            return BoundToken(namespace, of_account, pod=bound, node=self._node_of(obj))
        if kind == "Secret":
            return BoundToken(namespace, of_account, secret=bound)
        return BoundToken(namespace, of_account, node=bound)

    def _node_of(self, pod: Object) -> Reference | None:
        name = (pod.get("spec") or {}).get("nodeName")
        if not name:
            return None
        node = self._reader.get("", "nodes", "", name)
        return Reference(name, meta.uid_of(node) if node is not None else "")

    async def _get(self, resource: str, namespace: str, name: str) -> Object:
        obj = self._reader.get("", resource, namespace, name)
        if obj is None:
            obj = await self._reader.get_live("", resource, namespace, name)
        if obj is None:
            raise errors.not_found("", resource, name)
        return obj
