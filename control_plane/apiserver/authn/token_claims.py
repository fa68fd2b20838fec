"""What a service-account token says, and whether it still holds: pure functions over claims and objects.

A bound token names its service account and, optionally, the Pod, Secret or Node that it was issued for, each
by name and uid. It ends with its time or with any of these objects, whichever comes first; an object that is
being deleted still counts for a minute, so that its last requests succeed. A legacy token is the content of
a Secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from control_plane.api import meta
from control_plane.apiserver.authn import service_accounts
from control_plane.apiserver.authn.interface import Unauthenticated
from control_plane.apiserver.authn.user import UserInfo

Claims = Mapping[str, Any]
Object = Mapping[str, Any]

LEEWAY_S = 60.0
LEGACY_ISSUER = "kubernetes/serviceaccount"

# kubelets ask for this odd time for every pod's token. It is answered with a long-lived one and a note when
# the client should have read a fresh token, so that old clients that never re-read it go on working.
WARN_ONLY_EXPIRATION_S = 60 * 60 + 7
EXTENDED_EXPIRATION_S = 365 * 24 * 60 * 60

EXTRA_PREFIX = "authentication.kubernetes.io/"
CREDENTIAL_ID = EXTRA_PREFIX + "credential-id"
POD_NAME, POD_UID = EXTRA_PREFIX + "pod-name", EXTRA_PREFIX + "pod-uid"
NODE_NAME, NODE_UID = EXTRA_PREFIX + "node-name", EXTRA_PREFIX + "node-uid"


@dataclass(frozen=True, slots=True)
class Reference:
    name: str
    uid: str

    def claim(self) -> dict[str, str]:
        return {"name": self.name, "uid": self.uid}

    @classmethod
    def read(cls, claim: Any) -> Reference | None:
        if not isinstance(claim, Mapping):
            return None
        return cls(str(claim.get("name") or ""), str(claim.get("uid") or ""))


@dataclass(frozen=True, slots=True)
class BoundToken:
    """The private claims of a bound token."""

    namespace: str
    account: Reference
    pod: Reference | None = None
    secret: Reference | None = None
    node: Reference | None = None
    warn_after_s: float = 0.0
    id: str = ""

    @classmethod
    def read(cls, claims: Claims) -> BoundToken:
        """Raises Unauthenticated for claims that are no bound token's."""
        private = claims.get("kubernetes.io")
        account = Reference.read(private.get("serviceaccount")) if isinstance(private, Mapping) else None
        if not isinstance(private, Mapping) or account is None or not private.get("namespace"):
            raise Unauthenticated("the token has no claims of a service account")
        return cls(
            str(private["namespace"]),
            account,
            Reference.read(private.get("pod")),
            Reference.read(private.get("secret")),
            Reference.read(private.get("node")),
            _seconds(private.get("warnafter")),
            str(claims.get("jti") or ""),
        )

    def claims(self) -> dict[str, Any]:
        private: dict[str, Any] = {"namespace": self.namespace, "serviceaccount": self.account.claim()}
        for name, reference in (("pod", self.pod), ("secret", self.secret), ("node", self.node)):
            if reference is not None:
                private[name] = reference.claim()
        if self.warn_after_s:
            private["warnafter"] = int(self.warn_after_s)
        return private

    def user(self) -> UserInfo:
        extra: dict[str, tuple[str, ...]] = {}
        if self.id:
            extra[CREDENTIAL_ID] = (f"JTI={self.id}",)
        if self.pod is not None:
            extra[POD_NAME], extra[POD_UID] = (self.pod.name,), (self.pod.uid,)
        if self.node is not None:
            extra[NODE_NAME] = (self.node.name,)
            if self.node.uid:
                extra[NODE_UID] = (self.node.uid,)
        return service_accounts.user_info(self.namespace, self.account.name, self.account.uid, extra)


def check_times(claims: Claims, now_s: float) -> None:
    if now_s > _seconds(claims.get("exp")) + LEEWAY_S:
        raise Unauthenticated("service account token has expired")
    if now_s < _seconds(claims.get("nbf")) - LEEWAY_S:
        raise Unauthenticated("service account token is not valid yet")


def check_account(account: Object | None, token: BoundToken, now_s: float) -> None:
    where = f"service account {token.namespace}/{token.account.name}"
    if account is None:
        raise Unauthenticated(f"{where} does not exist")
    if _gone(account, now_s):
        raise Unauthenticated(f"{where} has been deleted")
    if meta.uid_of(account) != token.account.uid:
        raise Unauthenticated(
            f"service account UID ({meta.uid_of(account)}) does not match claim ({token.account.uid})"
        )


def check_bound_object(kind: str, obj: Object | None, reference: Reference, now_s: float) -> None:
    """The object that the token is bound to must still be there, and be the same one."""
    if obj is None or _gone(obj, now_s):
        raise Unauthenticated("service account token has been invalidated")
    if meta.uid_of(obj) != reference.uid:
        raise Unauthenticated(
            f"{kind} UID ({meta.uid_of(obj)}) does not match service account {kind} ref claim ({reference.uid})"
        )


def matching_audiences(token_audiences: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Those of the wanted audiences that the token is for. Raises Unauthenticated if it is for none."""
    found = tuple(audience for audience in wanted if audience in token_audiences)
    if not found:
        raise Unauthenticated(
            f"token audiences {list(token_audiences)} is invalid for the target audiences {list(wanted)}"
        )
    return found


def audiences_of(claims: Claims) -> tuple[str, ...]:
    audience = claims.get("aud")
    if isinstance(audience, str):
        return (audience,)
    return tuple(str(a) for a in audience) if isinstance(audience, list) else ()


@dataclass(frozen=True, slots=True)
class LegacyToken:
    """The claims of a token that is kept in a Secret and never expires by itself."""

    namespace: str
    secret: str
    account: Reference

    @classmethod
    def read(cls, claims: Claims) -> LegacyToken:
        prefix = "kubernetes.io/serviceaccount/"
        account = Reference(
            str(claims.get(prefix + "service-account.name") or ""),
            str(claims.get(prefix + "service-account.uid") or ""),
        )
        token = cls(
            str(claims.get(prefix + "namespace") or ""),
            str(claims.get(prefix + "secret.name") or ""),
            account,
        )
        if claims.get("sub") != service_accounts.username(token.namespace, account.name):
            raise Unauthenticated("the token's subject is another service account")
        if not (token.namespace and token.secret and account.name and account.uid):
            raise Unauthenticated("the token lacks claims of a service account")
        return token


def _gone(obj: Object, now_s: float) -> bool:
    deletion_s = meta.parse_time(meta.metadata(obj).get("deletionTimestamp"))
    return deletion_s is not None and deletion_s < now_s - LEEWAY_S


def _seconds(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
