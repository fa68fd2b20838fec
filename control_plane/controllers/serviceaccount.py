"""serviceaccount: every namespace that is not ending has the account `default`."""

from __future__ import annotations

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_already_exists, is_not_found
from control_plane.api.meta import Object
from control_plane.client.gvr import NAMESPACES, SERVICE_ACCOUNTS
from control_plane.controllers.context import Context
from control_plane.controllers.controller import Controller

DEFAULT = "default"


class ServiceAccountController(Controller):
    name = "serviceaccount"
    account = "service-account-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.namespaces = self.informer(NAMESPACES)
        self.accounts = self.informer(SERVICE_ACCOUNTS)
        self.reconcile_each(self.namespaces)
        self.accounts.add_handler(on_delete=lambda account: self.queue.add(meta.namespace_of(account)))

    async def reconcile(self, key: str) -> None:
        namespace = self.namespaces.get("", key)
        if namespace is None or not wants_account(namespace) or self.accounts.get(key, DEFAULT):
            return
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": DEFAULT, "namespace": key},
        }
        try:
            await self.client.create(SERVICE_ACCOUNTS, account)
        except StatusError as error:
            if not (is_already_exists(error) or is_not_found(error)):  # the namespace may have gone meanwhile
                raise


def wants_account(namespace: Object) -> bool:
    return meta.nested(namespace, "status", "phase") != "Terminating" and not meta.is_deleting(namespace)
