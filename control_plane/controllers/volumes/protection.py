"""Finalizers that keep claims with pods, and volumes with claims, until nobody uses them any more."""

from __future__ import annotations

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.client.client import Client
from control_plane.client.gvr import GVR, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS
from control_plane.controllers.context import Context
from control_plane.controllers.controller import Controller, named
from control_plane.controllers.volumes.binder import BY_CLAIM, claim_keys

CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"


async def write_finalizer(client: Client, gvr: GVR, obj: Object, finalizer: str, present: bool) -> None:
    """An update, so that a stale look at the object fails instead of dropping what others have added."""
    others = [each for each in meta.finalizers(obj) if each != finalizer]
    finalizers = [*others, finalizer] if present else others
    await client.update(gvr, {**obj, "metadata": {**obj["metadata"], "finalizers": finalizers}})


def uses(pod: Object, claim: Object) -> bool:
    """A pod that no node has yet does not count: no node starts one whose claim is being deleted."""
    return bool(pod["spec"].get("nodeName")) and meta.key_of(claim) in claim_keys(pod)


class ClaimProtectionController(Controller):
    name = "persistentvolumeclaim-protection"
    account = "pvc-protection-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.claims = self.informer(PERSISTENT_VOLUME_CLAIMS)
        self.pods = self.informer(PODS)
        self.pods.add_index(BY_CLAIM, claim_keys)
        self.reconcile_each(self.claims)
        self.pods.add_handler(on_delete=self._pod_gone)

    async def reconcile(self, key: str) -> float | None:
        claim = named(self.claims, key)
        if claim is None:
            return None
        protected = CLAIM_FINALIZER in meta.finalizers(claim)
        if not meta.is_deleting(claim):
            if not protected:
                await write_finalizer(self.client, PERSISTENT_VOLUME_CLAIMS, claim, CLAIM_FINALIZER, True)
        elif protected and not await self._in_use(claim):
            await write_finalizer(self.client, PERSISTENT_VOLUME_CLAIMS, claim, CLAIM_FINALIZER, False)
        return None

    async def _in_use(self, claim: Object) -> bool:
        """The informer may lag: before the last guard goes, the API is asked."""
        if any(uses(pod, claim) for pod in self.pods.by_index(BY_CLAIM, meta.key_of(claim))):
            return True
        listed = await self.client.list(PODS, meta.namespace_of(claim))
        return any(uses(pod, claim) for pod in listed.items)

    def _pod_gone(self, pod: Object) -> None:
        for key in claim_keys(pod):
            self.queue.add(key)


class VolumeProtectionController(Controller):
    name = "persistentvolume-protection"
    account = "pv-protection-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.volumes = self.informer(PERSISTENT_VOLUMES)
        self.reconcile_each(self.volumes)

    async def reconcile(self, key: str) -> float | None:
        volume = named(self.volumes, key)
        if volume is None:
            return None
        protected = VOLUME_FINALIZER in meta.finalizers(volume)
        if not meta.is_deleting(volume):
            if not protected:
                await write_finalizer(self.client, PERSISTENT_VOLUMES, volume, VOLUME_FINALIZER, True)
        elif protected and meta.nested(volume, "status", "phase") != "Bound":
            await write_finalizer(self.client, PERSISTENT_VOLUMES, volume, VOLUME_FINALIZER, False)
        return None
