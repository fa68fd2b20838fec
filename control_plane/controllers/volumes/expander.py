"""persistentvolume-expander: a bound claim asks for more than its volume has.

Local directories have no size of their own: the numbers are changed and that is all. What another provisioner made
is resized by that one's own controller.
"""

from __future__ import annotations

from control_plane.api import meta, quantity
from control_plane.api.meta import Object
from control_plane.client.gvr import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES
from control_plane.controllers.context import NORMAL, Context
from control_plane.controllers.controller import Controller, named
from control_plane.controllers.volumes import claims, local_path


def wants_more(claim: Object) -> bool:
    if meta.nested(claim, "status", "phase") != "Bound" or meta.is_deleting(claim):
        return False
    has = quantity.parse_or_zero(meta.nested(claim, "status", "capacity", "storage"))
    return claims.requested(claim) > has


class PersistentVolumeExpander(Controller):
    name = "persistentvolume-expander"
    source = "volume_expand"
    account = "expand-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.claims = self.informer(PERSISTENT_VOLUME_CLAIMS)
        self.volumes = self.informer(PERSISTENT_VOLUMES)
        self.classes = self.informer(STORAGE_CLASSES)
        self.reconcile_each(self.claims)

    async def reconcile(self, key: str) -> float | None:
        claim = named(self.claims, key)
        if claim is None or not wants_more(claim):
            return None
        volume = self.volumes.get("", claim["spec"].get("volumeName", ""))
        storage_class = self.classes.get("", claims.class_of(claim))
        if volume is None or storage_class is None or not storage_class.get("allowVolumeExpansion"):
            return None
        if meta.annotations(volume).get(claims.PROVISIONED_BY) != local_path.PROVISIONER:
            text = "waiting for an external controller to expand this PVC"
            self.record(claim, NORMAL, "ExternalExpanding", text)
            return None
        await self._expand(claim, volume)
        return None

    async def _expand(self, claim: Object, volume: Object) -> None:
        storage = claim["spec"]["resources"]["requests"]["storage"]
        if claims.capacity(volume) < claims.requested(claim):
            spec = {**volume["spec"], "capacity": {**volume["spec"]["capacity"], "storage": storage}}
            await self.client.update(PERSISTENT_VOLUMES, {**volume, "spec": spec})
        old = claim["status"]
        status = {**old, "capacity": {**(old.get("capacity") or {}), "storage": storage}}
        await self.client.update(PERSISTENT_VOLUME_CLAIMS, {**claim, "status": status}, "status")
        self.record(claim, NORMAL, "VolumeResizeSuccessful", "Resize volume succeeded")
