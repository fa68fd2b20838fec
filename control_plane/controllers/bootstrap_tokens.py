"""Bootstrap tokens: `bootstrapsigner` signs kube-public/cluster-info with each of them, so that a joining node that
knows only a token can trust it; `tokencleaner` deletes those that have run out."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Iterable

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_not_found
from control_plane.api.meta import Object
from control_plane.client.gvr import CONFIGMAPS, SECRETS
from control_plane.client.informer import Informer
from control_plane.controllers.context import Context
from control_plane.controllers.controller import Controller, named

TOKEN_TYPE = "bootstrap.kubernetes.io/token"  # noqa: S105 - a name, no secret
PREFIX = "bootstrap-token-"
INFO_NAMESPACE, INFO = "kube-public", "cluster-info"
KUBECONFIG = "kubeconfig"
SIGNATURE_PREFIX = "jws-kubeconfig-"


def value(secret: Object, key: str) -> str:
    try:
        return base64.b64decode((secret.get("data") or {}).get(key, "")).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def expires_in_s(secret: Object, now: float) -> float | None:
    """None for a token without end. An end that cannot be read has been reached."""
    text = value(secret, "expiration")
    if not text:
        return None
    end = meta.parse_time(text)
    return 0.0 if end is None else max(end - now, 0.0)


def signature(content: str, token_id: str, secret: str) -> str:
    """A JWS without its content (RFC 7515, appendix F), HS256 with the token's secret."""
    header = _base64url(json.dumps({"alg": "HS256", "kid": token_id}, separators=(",", ":")).encode())
    signed = f"{header}.{_base64url(content.encode())}".encode()
    return f"{header}..{_base64url(hmac.digest(secret.encode(), signed, hashlib.sha256))}"


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def signed(config_map: Object, tokens: Iterable[Object], now: float) -> Object:
    """cluster-info with the signatures of all tokens that may sign, and no others."""
    data = config_map.get("data") or {}
    kept = {key: text for key, text in data.items() if not key.startswith(SIGNATURE_PREFIX)}
    content = data.get(KUBECONFIG, "")
    for each in tokens:
        token_id, secret = value(each, "token-id"), value(each, "token-secret")
        usable = value(each, "usage-bootstrap-signing") == "true" and expires_in_s(each, now) != 0
        if content and token_id and secret and usable and not meta.is_deleting(each):
            kept[SIGNATURE_PREFIX + token_id] = signature(content, token_id, secret)
    return config_map if kept == data else {**config_map, "data": kept}


def _tokens(context: Context) -> Informer:
    selector = f"type={TOKEN_TYPE}"
    return context.informers.informer(SECRETS, namespace="kube-system", field_selector=selector)


class BootstrapSigner(Controller):
    name = "bootstrapsigner"
    account = "bootstrap-signer"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.tokens = _tokens(context)
        self.info = context.informers.informer(CONFIGMAPS, INFO_NAMESPACE, f"metadata.name={INFO}")
        self.informers += [self.tokens, self.info]
        self.reconcile_each(self.info)
        for_all = lambda *_: self.queue.add(f"{INFO_NAMESPACE}/{INFO}")  # noqa: E731
        self.tokens.add_handler(on_add=for_all, on_update=for_all, on_delete=for_all)

    async def reconcile(self, key: str) -> float | None:
        config_map = named(self.info, key)
        if config_map is None or meta.is_deleting(config_map):
            return None
        wanted = signed(config_map, self.tokens.list(), self.context.now())
        if wanted is not config_map:
            await self.client.update(CONFIGMAPS, wanted)
        return None


class TokenCleaner(Controller):
    name = "tokencleaner"
    account = "token-cleaner"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.tokens = _tokens(context)
        self.informers.append(self.tokens)
        self.reconcile_each(self.tokens)

    async def reconcile(self, key: str) -> float | None:
        secret = named(self.tokens, key)
        wait_s = expires_in_s(secret, self.context.now()) if secret is not None else None
        if secret is None or wait_s is None or wait_s > 0 or meta.is_deleting(secret):
            return wait_s
        name, namespace = meta.name_of(secret), meta.namespace_of(secret)
        try:
            await self.client.delete(SECRETS, name, namespace, uid=meta.uid_of(secret))
        except StatusError as error:
            if not is_not_found(error):
                raise
        return None
