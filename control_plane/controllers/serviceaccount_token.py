"""serviceaccount-token: fills Secrets of type kubernetes.io/service-account-token that somebody makes for an
account, and deletes them with it. Such a token has no end; it is good as long as its Secret holds it."""

from __future__ import annotations

import base64

import jwt

from certs.serviceaccount import key_id
from control_plane.api import meta
from control_plane.api.errors import StatusError, is_not_found
from control_plane.api.meta import Object
from control_plane.apiserver.authn import service_accounts
from control_plane.apiserver.authn.token_claims import LEGACY_ISSUER
from control_plane.client.gvr import SECRETS, SERVICE_ACCOUNTS
from control_plane.controllers.context import Context
from control_plane.controllers.controller import Controller, named

TOKEN_TYPE = "kubernetes.io/service-account-token"  # noqa: S105 - a name, no secret
NAME = "kubernetes.io/service-account.name"
UID = "kubernetes.io/service-account.uid"
CLAIM_PREFIX = "kubernetes.io/serviceaccount/"


def claims(secret: Object, account: Object) -> dict[str, str]:
    namespace, name = meta.namespace_of(secret), meta.name_of(account)
    return {
        "iss": LEGACY_ISSUER,
        "sub": service_accounts.username(namespace, name),
        f"{CLAIM_PREFIX}namespace": namespace,
        f"{CLAIM_PREFIX}secret.name": meta.name_of(secret),
        f"{CLAIM_PREFIX}service-account.name": name,
        f"{CLAIM_PREFIX}service-account.uid": meta.uid_of(account),
    }


def belongs_to(secret: Object, account: Object) -> bool:
    wanted = meta.annotations(secret).get(UID, "")
    return wanted in ("", meta.uid_of(account))


class ServiceAccountTokenController(Controller):
    """Writes as the process itself: no account of its own may touch every Secret."""

    name = "serviceaccount-token"
    account = "service-account-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.client = context.client.named("balsa-controller-manager/tokens-controller", "tokens-controller")
        self.key = context.options.service_account_key
        self.accounts = self.informer(SERVICE_ACCOUNTS)
        self.secrets = context.informers.informer(SECRETS, field_selector=f"type={TOKEN_TYPE}")
        self.informers.append(self.secrets)
        if self.key is not None:
            self.reconcile_each(self.secrets)
            self.accounts.add_handler(on_add=self._account_seen, on_delete=self._account_seen)

    async def reconcile(self, key: str) -> float | None:
        secret = named(self.secrets, key)
        if secret is None or meta.is_deleting(secret) or self.key is None:
            return None
        account = await self._account_of(secret)
        if account is None or not belongs_to(secret, account):
            await self._delete(secret)
            return None
        wanted = self._filled(secret, account)
        if wanted != secret:
            await self.client.update(SECRETS, wanted)
        return None

    async def _account_of(self, secret: Object) -> Object | None:
        """Before a Secret is deleted the API is asked: the informer may lag."""
        namespace, name = meta.namespace_of(secret), meta.annotations(secret).get(NAME, "")
        found = self.accounts.get(namespace, name)
        if found is not None and belongs_to(secret, found):
            return found
        try:
            return await self.client.get(SERVICE_ACCOUNTS, name, namespace)
        except StatusError as error:
            if is_not_found(error):
                return None
            raise

    def _filled(self, secret: Object, account: Object) -> Object:
        data = dict(secret.get("data") or {})
        data["namespace"] = _encoded(meta.namespace_of(secret))
        if pem := self.context.options.root_ca_pem:
            data["ca.crt"] = _encoded(pem)
        if not data.get("token"):
            data["token"] = _encoded(self._token(secret, account))
        annotations = {**meta.annotations(secret), UID: meta.uid_of(account)}
        return {**secret, "data": data, "metadata": {**secret["metadata"], "annotations": annotations}}

    def _token(self, secret: Object, account: Object) -> str:
        assert self.key is not None
        headers = {"kid": key_id(self.key.public_key()), "typ": None}
        return jwt.encode(claims(secret, account), self.key, algorithm="ES256", headers=headers)

    async def _delete(self, secret: Object) -> None:
        name, namespace = meta.name_of(secret), meta.namespace_of(secret)
        try:
            await self.client.delete(SECRETS, name, namespace, uid=meta.uid_of(secret))
        except StatusError as error:
            if not is_not_found(error):
                raise

    def _account_seen(self, account: Object) -> None:
        for secret in self.secrets.list(meta.namespace_of(account)):
            if meta.annotations(secret).get(NAME) == meta.name_of(account):
                self.enqueue(secret)


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")
