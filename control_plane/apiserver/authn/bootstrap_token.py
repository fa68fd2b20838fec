"""Bootstrap tokens: `<id>.<secret>`, kept in Secrets `bootstrap-token-<id>` of kube-system.

They let a new node ask for its first certificate. The Secret says until when it is good, for what, and which
further groups (below `system:bootstrappers:`) its bearer is in.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from control_plane.api import meta
from control_plane.apiserver.admission.interface import Reader
from control_plane.apiserver.authn.interface import TokenResult, Unauthenticated
from control_plane.apiserver.authn.user import UserInfo

SECRET_TYPE = "bootstrap.kubernetes.io/token"  # noqa: S105 - a name, no secret
SECRET_NAMESPACE = "kube-system"  # noqa: S105
SECRET_PREFIX = "bootstrap-token-"  # noqa: S105
USER_PREFIX = "system:bootstrap:"
DEFAULT_GROUP = "system:bootstrappers"

_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")


class BootstrapTokenAuthenticator:
    def __init__(self, reader: Reader, clock: Callable[[], float] = time.time) -> None:
        self._reader = reader
        self._clock = clock

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenResult | None:
        match = _TOKEN.fullmatch(token)
        if match is None:
            return None
        token_id, token_secret = match.groups()
        secret = self._reader.get("", "secrets", SECRET_NAMESPACE, SECRET_PREFIX + token_id)
        if secret is None:
            return None
        user = bootstrap_user(secret, token_id, token_secret, self._clock())
        return TokenResult(user, tuple(audiences))


def bootstrap_user(secret: Mapping[str, Any], token_id: str, token_secret: str, now_s: float) -> UserInfo:
    """The user whose token this is. Raises Unauthenticated."""
    if secret.get("type") != SECRET_TYPE or meta.is_deleting(secret):
        raise Unauthenticated(f"bootstrap token {token_id} is of another type or being deleted")
    if not hmac.compare_digest(_value(secret, "token-secret").encode(), token_secret.encode()):
        raise Unauthenticated(f"bootstrap token {token_id} has another secret")
    if _value(secret, "token-id") != token_id:
        raise Unauthenticated(f"bootstrap token {token_id} is kept under another id")
    if _expired(_value(secret, "expiration"), now_s):
        raise Unauthenticated(f"bootstrap token {token_id} has expired")
    if _value(secret, "usage-bootstrap-authentication") != "true":
        raise Unauthenticated(f"bootstrap token {token_id} is not for authentication")
    extra_groups = [g for g in _value(secret, "auth-extra-groups").split(",") if g]
    if not all(_GROUP.fullmatch(group) for group in extra_groups):
        raise Unauthenticated(f"bootstrap token {token_id} names a group that it must not")
    return UserInfo(USER_PREFIX + token_id, groups=(DEFAULT_GROUP, *sorted(set(extra_groups))))


def _value(secret: Mapping[str, Any], key: str) -> str:
    try:
        return base64.b64decode((secret.get("data") or {}).get(key, "")).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _expired(expiration: str, now_s: float) -> bool:
    """Without an expiration a token lasts; one that cannot be read has expired."""
    if not expiration:
        return False
    end_s = meta.parse_time(expiration)
    return end_s is None or now_s >= end_s
