"""Writes what a binding needs of claims, as often as it takes to be certain of the outcome.

An answer may be lost: then the claim is read again, and the write tried again, which does no harm, since it has the
resourceVersion of what it is based on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_already_exists, is_conflict, is_not_found
from control_plane.client.errors import ConnectionFailed
from control_plane.client.gvr import PODS, RESOURCE_CLAIMS
from control_plane.client.types import Obj
from control_plane.scheduler import lookup
from control_plane.scheduler.dynamic_resources import extended
from control_plane.scheduler.dynamic_resources.claims import FINALIZER, released, reserved
from control_plane.scheduler.dynamic_resources.errors import ClaimError

if TYPE_CHECKING:
    from control_plane.scheduler.framework.interface import Handle

MAX_TRIES = 5  # at writing one claim, when others write it as well or answers are lost
TRY_AGAIN_S = 0.5


class ClaimWriter:
    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def reserve(self, claim: Obj, allocation: Obj | None, pod: Obj, unsure: set[str]) -> Obj:
        """The claim as it is when the pod may use it; its uid is in `unsure` from when a write may have been
        carried out. Raises ClaimError, StatusError, ConnectionFailed."""
        client, uid = self._handle.client, meta.uid_of(claim)
        for number in range(MAX_TRIES):
            if number:
                claim = await self._latest(claim)
            wanted = reserved(claim, allocation, pod)
            if wanted is None:
                return claim
            try:
                if allocation is not None and FINALIZER not in meta.finalizers(wanted):
                    claim = await client.update(RESOURCE_CLAIMS, _protected(claim, True))
                    wanted = {**claim, "status": wanted["status"]}
                unsure.add(uid)
                return await client.update(RESOURCE_CLAIMS, wanted, "status")
            except ConnectionFailed:
                await self._handle.clock.sleep(TRY_AGAIN_S)
            except StatusError as failure:
                if not is_conflict(failure):
                    raise
        raise ClaimError(f"claim {meta.key_of(claim)} could not be written in {MAX_TRIES} tries")

    async def make(self, claim: Obj, pod: Obj, mappings: list[Obj]) -> Obj:
        """The claim for a pod's extended resources, and the pod's status that names it. Raises as `reserve`."""
        client, namespace = self._handle.client, meta.namespace_of(pod)
        metadata = {key: value for key, value in claim["metadata"].items() if key != "uid"}
        try:
            made = await client.create(RESOURCE_CLAIMS, {**claim, "metadata": metadata})
        except StatusError as failure:
            if not is_already_exists(failure):
                raise
            made = await client.get(RESOURCE_CLAIMS, meta.name_of(claim), namespace)
            if not extended.is_for(made, pod):
                raise ClaimError(f"claim {meta.key_of(made)} belongs to somebody else") from failure
        names = {"resourceClaimName": meta.name_of(made), "requestMappings": mappings}
        patch = {"metadata": {"uid": meta.uid_of(pod)}, "status": {"extendedResourceClaimStatus": names}}
        await client.patch(PODS, meta.name_of(pod), patch, namespace, "merge", "status")
        return made

    async def find_out(self, claim: Obj, pod_uid: str) -> None:
        """Whether an allocation was written after all; the pod is tried again then."""
        written = await self._until_known(claim)
        if written is not None and meta.uid_of(written) != meta.uid_of(claim):
            written = None
        self._handle.devices.settle(meta.uid_of(claim), written)
        self._handle.activate([pod_uid])

    async def drop(self, claim: Obj, pod: Obj) -> None:
        """A claim for extended resources: this one, or, if it stood in for one, whichever was made. Its devices are
        promised until it is gone, and so long no other is made."""
        while (found := await self._until_known(claim)) is not None and extended.is_for(found, pod):
            if not extended.is_stand_in(claim) and meta.uid_of(found) != meta.uid_of(claim):
                break
            try:
                if FINALIZER in meta.finalizers(found):
                    found = await self._handle.client.update(RESOURCE_CLAIMS, _protected(found, False))
                await self._handle.client.delete(
                    RESOURCE_CLAIMS, meta.name_of(found), meta.namespace_of(found), uid=meta.uid_of(found)
                )
            except (StatusError, ConnectionFailed):
                await self._handle.clock.sleep(TRY_AGAIN_S)
        if extended.is_stand_in(claim):  # else the claim's deletion, once it is seen, brings the pod back
            self._handle.devices.settle(meta.uid_of(claim))
            self._handle.activate([meta.uid_of(pod)])

    async def release(self, claim: Obj, pod_uid: str, deallocate: bool) -> None:
        """Someone else's change comes first: then there is another event, and another try."""
        changed = released(claim, pod_uid, deallocate)
        if changed is None:
            return
        try:
            written = await self._handle.client.update(RESOURCE_CLAIMS, changed, "status")
        except StatusError as failure:
            if not (is_conflict(failure) or is_not_found(failure)):
                raise
            return
        self._handle.devices.settle(meta.uid_of(claim), written)

    async def _latest(self, claim: Obj) -> Obj:
        latest = await self._handle.client.get(RESOURCE_CLAIMS, meta.name_of(claim), meta.namespace_of(claim))
        if meta.uid_of(latest) != meta.uid_of(claim):
            raise ClaimError(f"claim {meta.key_of(claim)} got deleted in the meantime")
        return latest

    async def _until_known(self, claim: Obj) -> Obj | None:
        """What the API has under that name, however long it takes to hear of it."""
        return await lookup.found(
            self._handle, RESOURCE_CLAIMS, meta.name_of(claim), meta.namespace_of(claim)
        )


def _protected(claim: Obj, wanted: bool) -> Obj:
    others = [each for each in meta.finalizers(claim) if each != FINALIZER]
    finalizers = [*others, FINALIZER] if wanted else others
    return {**claim, "metadata": {**claim["metadata"], "finalizers": finalizers}}
