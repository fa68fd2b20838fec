"""resourcequota: counts what a namespace really uses, so that what is deleted can be used again.

Admission charges a quota before it lets an object through, and never gives back. This loop counts all objects and
corrects the status. An object that has been charged may not be visible yet: a quota is counted once it has been
left alone for a moment, or, where something is created all the time, now and then all the same (the swap on the
quota's resourceVersion then still fails against a newer charge).
"""

from __future__ import annotations

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.apiserver.admission.quota import ledger
from control_plane.apiserver.admission.quota.usage import LEGACY_COUNTS
from control_plane.client.gvr import PERSISTENT_VOLUME_CLAIMS, PODS, RESOURCE_QUOTAS, SERVICES
from control_plane.client.informer import Informer
from control_plane.controllers.context import Context
from control_plane.controllers.controller import Controller, named
from control_plane.controllers.discovery import served_resources

SETTLE_S = 2.0
MAX_WAIT_S = 10.0
RESYNC_S = 60.0  # kinds without an informer are noticed only then

Kind = tuple[str, str]


class ResourceQuotaController(Controller):
    name = "resourcequota"
    account = "resourcequota-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.quotas = self.informer(RESOURCE_QUOTAS)
        watched = (PODS, SERVICES, PERSISTENT_VOLUME_CLAIMS)
        self.counted: dict[Kind, Informer] = {("", gvr.resource): self.informer(gvr) for gvr in watched}
        self._touched: dict[str, float] = {}
        self._waiting: dict[str, float] = {}
        self.quotas.add_handler(
            on_add=self.enqueue, on_update=lambda old, new: self._touch(new), on_delete=self._forget
        )
        for informer in self.counted.values():
            informer.add_handler(on_update=self._changed, on_delete=self._released)

    def _touch(self, quota: Object) -> None:
        self._touched[meta.key_of(quota)] = self.context.now()
        self.enqueue(quota)

    def _forget(self, quota: Object) -> None:
        self._touched.pop(meta.key_of(quota), None)
        self._waiting.pop(meta.key_of(quota), None)

    def _changed(self, old: Object, new: Object) -> None:
        """A pod that ends uses nothing any more."""
        if meta.nested(old, "status", "phase") != meta.nested(new, "status", "phase"):
            self._released(new)

    def _released(self, obj: Object) -> None:
        for quota in self.quotas.list(meta.namespace_of(obj)):
            self.enqueue(quota)

    async def reconcile(self, key: str) -> float | None:
        quota = named(self.quotas, key)
        if quota is None or meta.is_deleting(quota):
            return None
        now = self.context.now()
        since = self._waiting.setdefault(key, now)
        settled_s = now - self._touched.get(key, 0.0)
        if ledger.is_counted(quota) and settled_s < SETTLE_S and now - since < MAX_WAIT_S:
            return SETTLE_S - settled_s
        self._waiting.pop(key, None)
        counted = await self._count(quota, now)
        if ledger.used(counted) != ledger.used(quota) or ledger.hard(counted) != ledger.hard(quota):
            await self.client.update(RESOURCE_QUOTAS, counted, "status")
        return RESYNC_S

    async def _count(self, quota: Object, now: float) -> Object:
        namespace = meta.namespace_of(quota)
        names = meta.nested(quota, "spec", "hard", default=None) or {}
        kinds = [kind for kind in _kinds(names) if any(ledger.counts_in(name, *kind) for name in names)]
        objects = {kind: await self._objects(kind, namespace) for kind in kinds}
        return ledger.recount(quota, lambda *kind: objects[kind], kinds, now)

    async def _objects(self, kind: Kind, namespace: str) -> list[Object]:
        informer = self.counted.get(kind)
        if informer is not None:
            return list(informer.list(namespace))
        for served in await served_resources(self.client):
            if (served.gvr.group, served.gvr.resource) == kind:
                return list((await self.client.list(served.gvr, namespace)).items)
        return []  # a quota may name what is not served


def _kinds(names: dict[str, str]) -> list[Kind]:
    """What the quota's names can be about."""
    kinds = [("", resource) for resource in sorted(LEGACY_COUNTS)]
    for name in names:
        if name.startswith("count/"):
            resource, _, group = name.removeprefix("count/").partition(".")
            kinds.append((group, resource))
    return list(dict.fromkeys(kinds))
