"""The finalizer that keeps a volume attributes class while a claim or a volume names it."""

from __future__ import annotations

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.client.gvr import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, VOLUME_ATTRIBUTES_CLASSES
from control_plane.client.informer import Informer
from control_plane.controllers.context import Context
from control_plane.controllers.controller import Controller, named
from control_plane.controllers.volumes.protection import write_finalizer

FINALIZER = "kubernetes.io/vac-protection"
BY_CLASS = "volume attributes class"


def class_names(obj: Object) -> list[str]:
    """The classes that a claim or a volume has, wants, or is on its way to."""
    found = (
        meta.nested(obj, "spec", "volumeAttributesClassName"),
        meta.nested(obj, "status", "currentVolumeAttributesClassName"),
        meta.nested(obj, "status", "modifyVolumeStatus", "targetVolumeAttributesClassName"),
    )
    return sorted({name for name in found if name})


class VolumeAttributesClassProtectionController(Controller):
    name = "volumeattributesclass-protection"
    account = "volumeattributesclass-protection-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.classes = self.informer(VOLUME_ATTRIBUTES_CLASSES)
        self.users = (self.informer(PERSISTENT_VOLUME_CLAIMS), self.informer(PERSISTENT_VOLUMES))
        self.reconcile_each(self.classes)
        for users in self.users:
            self._follow(users)

    def _follow(self, users: Informer) -> None:
        users.add_index(BY_CLASS, class_names)
        users.add_handler(on_update=lambda old, _: self._left(old), on_delete=self._left)

    def _left(self, obj: Object) -> None:
        for name in class_names(obj):
            self.queue.add(name)

    async def reconcile(self, key: str) -> float | None:
        found = named(self.classes, key)
        if found is None:
            return None
        protected = FINALIZER in meta.finalizers(found)
        if not meta.is_deleting(found):
            if not protected:
                await write_finalizer(self.client, VOLUME_ATTRIBUTES_CLASSES, found, FINALIZER, True)
        elif protected and not any(users.by_index(BY_CLASS, meta.name_of(found)) for users in self.users):
            await write_finalizer(self.client, VOLUME_ATTRIBUTES_CLASSES, found, FINALIZER, False)
        return None
