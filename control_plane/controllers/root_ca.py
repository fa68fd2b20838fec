"""root-ca-certificate-publisher: every namespace has the ConfigMap `kube-root-ca.crt`, so that pods can trust the
apiserver."""

from __future__ import annotations

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_already_exists, is_not_found
from control_plane.client.gvr import CONFIGMAPS, NAMESPACES
from control_plane.controllers.context import Context
from control_plane.controllers.controller import Controller
from control_plane.controllers.serviceaccount import wants_account

CONFIG_MAP = "kube-root-ca.crt"
DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of "
    "Kubernetes clusters."
)


class RootCAPublisher(Controller):
    name = "root-ca-certificate-publisher"
    account = "root-ca-cert-publisher"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.namespaces = self.informer(NAMESPACES)
        self.config_maps = context.informers.informer(
            CONFIGMAPS, field_selector=f"metadata.name={CONFIG_MAP}"
        )
        self.informers.append(self.config_maps)
        self.reconcile_each(self.namespaces)
        self.config_maps.add_handler(
            on_update=lambda _, new: self.queue.add(meta.namespace_of(new)),
            on_delete=lambda old: self.queue.add(meta.namespace_of(old)),
        )

    async def reconcile(self, key: str) -> None:
        namespace = self.namespaces.get("", key)
        pem = self.context.options.root_ca_pem
        if namespace is None or not wants_account(namespace) or not pem:
            return
        data = {"ca.crt": pem}
        published = self.config_maps.get(key, CONFIG_MAP)
        if published is None:
            await self._create(key, data)
        elif published.get("data") != data:
            await self.client.update(CONFIGMAPS, {**published, "data": data})

    async def _create(self, namespace: str, data: dict[str, str]) -> None:
        config_map = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": CONFIG_MAP,
                "namespace": namespace,
                "annotations": {"kubernetes.io/description": DESCRIPTION},
            },
            "data": data,
        }
        try:
            await self.client.create(CONFIGMAPS, config_map)
        except StatusError as error:
            if not (is_already_exists(error) or is_not_found(error)):  # the namespace may have gone meanwhile
                raise
