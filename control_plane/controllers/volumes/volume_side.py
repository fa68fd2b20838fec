"""Carries out what `volumes.plan` says of a volume: its phase, its release, its end."""

from __future__ import annotations

from collections.abc import Callable

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_not_found
from control_plane.api.meta import Object
from control_plane.client.client import Client
from control_plane.client.gvr import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from control_plane.client.informer import Informer
from control_plane.controllers.context import WARNING, RecordEvent
from control_plane.controllers.volumes import claims, local_path, volumes
from control_plane.controllers.volumes.volumes import Plan


class VolumeSide:
    def __init__(
        self,
        client: Client,
        record: RecordEvent,
        now: Callable[[], float],
        claims_informer: Informer,
        nodes: Informer,
    ) -> None:
        self._client = client
        self._record = record
        self._now = now
        self._claims = claims_informer
        self._nodes = nodes

    async def reconcile(self, volume: Object) -> tuple[Plan, float | None]:
        """What was planned, and seconds until the next look."""
        planned = volumes.plan(volume, await self._claim_of(volume))
        if planned.release is not None:
            volume = await self._client.update(PERSISTENT_VOLUMES, planned.release)
        volume = await self.write_phase(volume, planned.phase)
        if planned.reclaim and planned.phase == "Released":
            await self._reclaim(volume)
        if meta.is_deleting(volume) and local_path.FINALIZER in meta.finalizers(volume):
            return planned, await self._let_go(volume)
        return planned, None

    async def write_phase(self, volume: Object, phase: str, message: str = "") -> Object:
        old = volume.get("status") or {}
        if old.get("phase") == phase and (old.get("message", "") == message or not message):
            return volume
        status = {"phase": phase, "lastPhaseTransitionTime": meta.rfc3339(self._now())}
        if message:
            status["message"] = message
        return await self._client.update(PERSISTENT_VOLUMES, {**volume, "status": status}, "status")

    async def _claim_of(self, volume: Object) -> Object | None:
        reference = volume["spec"].get("claimRef") or {}
        uid, name, namespace = (reference.get(key, "") for key in ("uid", "name", "namespace"))
        if not uid:
            return None
        found = self._claims.get(namespace, name)
        if found is None or meta.uid_of(found) != uid:  # before anything is deleted: is it so?
            try:
                found = await self._client.get(PERSISTENT_VOLUME_CLAIMS, name, namespace)
            except StatusError as error:
                if not is_not_found(error):
                    raise
                return None
        return found if meta.uid_of(found) == uid else None

    async def _reclaim(self, volume: Object) -> None:
        policy = volume["spec"].get("persistentVolumeReclaimPolicy", "Retain")
        provisioner = meta.annotations(volume).get(claims.PROVISIONED_BY, "")
        if policy == "Retain" or meta.is_deleting(volume):
            return
        if policy == "Recycle":
            await self._fail(volume, "VolumeFailedRecycle", "No recycler plugin found for the volume!")
        elif provisioner == local_path.PROVISIONER:
            await self._delete(volume)
        elif not provisioner:  # what another provisioner made, that one deletes
            name = meta.name_of(volume)
            text = f'error getting deleter volume plugin for volume "{name}": no volume plugin matched'
            await self._fail(volume, "VolumeFailedDelete", text)

    async def _delete(self, volume: Object) -> None:
        try:
            await self._client.delete(PERSISTENT_VOLUMES, meta.name_of(volume), uid=meta.uid_of(volume))
        except StatusError as error:
            if not is_not_found(error):
                raise

    async def _fail(self, volume: Object, reason: str, text: str) -> None:
        await self.write_phase(volume, "Failed", text)
        self._record(volume, WARNING, reason, text)

    async def _let_go(self, volume: Object) -> float | None:
        """Of a deleted volume whose data is gone, or is to stay."""
        hostname = local_path.hostname_of(volume)
        node = next(
            (n for n in self._nodes.list() if meta.labels(n).get(local_path.HOSTNAME) == hostname), None
        )
        wait_s = local_path.may_go_in_s(volume, node, self._now())
        if wait_s != 0:
            return wait_s
        others = [each for each in meta.finalizers(volume) if each != local_path.FINALIZER]
        changed = {**volume, "metadata": {**volume["metadata"], "finalizers": others}}
        await self._client.update(PERSISTENT_VOLUMES, changed)
        return None
