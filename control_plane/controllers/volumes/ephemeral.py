"""ephemeral-volume: makes the claim of each generic ephemeral volume of a pod, which owns it and takes it along."""

from __future__ import annotations

import copy

from control_plane.api import meta
from control_plane.api.errors import StatusError
from control_plane.api.meta import Object
from control_plane.client.gvr import PERSISTENT_VOLUME_CLAIMS, PODS
from control_plane.controllers.context import WARNING, Context
from control_plane.controllers.controller import Controller, named


def claim_for(pod: Object, volume: Object) -> Object:
    template = volume["ephemeral"].get("volumeClaimTemplate") or {}
    metadata: Object = {
        "name": f"{meta.name_of(pod)}-{volume['name']}",
        "namespace": meta.namespace_of(pod),
        "ownerReferences": [meta.controller_reference({"apiVersion": "v1", "kind": "Pod", **pod})],
    }
    if labels := meta.labels(template):
        metadata["labels"] = dict(labels)
    if annotations := meta.annotations(template):
        metadata["annotations"] = dict(annotations)
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata,
        "spec": copy.deepcopy(template.get("spec") or {}),
    }


def is_for(claim: Object, pod: Object) -> bool:
    """Never use a claim of that name that somebody else made: the pod would write into their data."""
    return meta.is_controlled_by(claim, pod)


class EphemeralVolumeController(Controller):
    name = "ephemeral-volume"
    source = "ephemeral_volume"
    account = "ephemeral-volume-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.pods = self.informer(PODS)
        self.claims = self.informer(PERSISTENT_VOLUME_CLAIMS)
        self.pods.add_handler(on_add=self._pod_seen)
        self.claims.add_handler(on_delete=self._claim_gone)

    async def reconcile(self, key: str) -> float | None:
        pod = named(self.pods, key)
        if pod is None or meta.is_deleting(pod):
            return None
        for volume in pod["spec"].get("volumes") or ():
            if "ephemeral" in volume:
                await self._ensure(pod, volume)
        return None

    async def _ensure(self, pod: Object, volume: Object) -> None:
        wanted = claim_for(pod, volume)
        found = self.claims.get(meta.namespace_of(pod), meta.name_of(wanted))
        if found is not None:
            if not is_for(found, pod):
                text = (
                    f"PVC {meta.key_of(wanted)} was not created for pod {meta.key_of(pod)} (pod is not owner)"
                )
                self.record(pod, WARNING, "EphemeralVolumeConflict", text)
            return
        try:
            await self.client.create(PERSISTENT_VOLUME_CLAIMS, wanted)
        except StatusError as error:
            text = f"ephemeral volume {volume['name']}: create PVC {meta.name_of(wanted)}: {error}"
            self.record(pod, WARNING, "EphemeralVolumeCreateFailed", text)
            raise

    def _pod_seen(self, pod: Object) -> None:
        if any("ephemeral" in volume for volume in pod["spec"].get("volumes") or ()):
            self.enqueue(pod)

    def _claim_gone(self, claim: Object) -> None:
        owner = meta.controller_of(claim)
        if owner is not None and owner["kind"] == "Pod":
            self.queue.add(f"{meta.namespace_of(claim)}/{owner['name']}")
