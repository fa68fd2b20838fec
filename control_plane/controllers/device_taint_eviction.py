"""device-taint-eviction: deletes pods that use a device with a NoExecute taint which their claim does not
tolerate, or no longer does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.client.gvr import PODS, RESOURCE_CLAIMS, RESOURCE_SLICES
from control_plane.controllers import pods
from control_plane.controllers.context import NORMAL, Context
from control_plane.controllers.controller import Controller, named
from control_plane.controllers.eviction import evict
from control_plane.controllers.resourceclaim import plan as resource_claims
from control_plane.controllers.taint_eviction import NO_EXECUTE, evict_at

DeviceId = tuple[str, str, str]  # driver, pool, device
Taints = Callable[[DeviceId], Sequence[Object]]


def devices(slice_: Object) -> Iterator[tuple[DeviceId, Object]]:
    spec = slice_["spec"]
    for device in spec.get("devices") or ():
        yield (spec["driver"], spec["pool"]["name"], device["name"]), device


def results(claim: Object) -> list[Object]:
    return list(meta.nested(claim, "status", "allocation", "devices", "results", default=()))


def device_of(result: Object) -> DeviceId:
    return result["driver"], result["pool"], result["device"]


def evict_by(claims: Sequence[Object], taints_of: Taints, now: float) -> float | None:
    """When a pod with these claims must go: now at the earliest, None for never."""
    deadlines = [
        at
        for claim in claims
        for result in results(claim)
        if (at := evict_at(result.get("tolerations") or (), taints_of(device_of(result)), now)) is not None
    ]
    return min(deadlines, default=None)


class DeviceTaintEvictionController(Controller):
    name = "device-taint-eviction"
    account = "device-taint-eviction-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.pods = self.informer(PODS)
        self.claims = self.informer(RESOURCE_CLAIMS)
        self.slices = self.informer(RESOURCE_SLICES)
        self.pods.add_index("resource claim", lambda pod: list(resource_claims.used(pod)))
        self.claims.add_index("device", lambda claim: ["/".join(device_of(each)) for each in results(claim)])
        self.slices.add_index(
            "pool", lambda each: [f"{each['spec']['driver']}/{each['spec']['pool']['name']}"]
        )
        self.claims.add_handler(on_add=self._claim_changed, on_update=lambda _, new: self._claim_changed(new))
        self.slices.add_handler(on_add=self._slice_changed, on_update=lambda _, new: self._slice_changed(new))
        self.pods.add_handler(on_add=self._pod_seen, on_update=lambda _, new: self._pod_seen(new))

    async def reconcile(self, key: str) -> float | None:
        pod = named(self.pods, key)
        if pod is None or meta.is_deleting(pod) or pods.is_finished(pod):
            return None
        if not meta.nested(pod, "spec", "nodeName"):
            return None
        now = self.context.now()
        at = evict_by(self._claims_of(pod), self._taints, now)
        if at is None:
            return None
        if at > now:
            return at - now
        self.record(pod, NORMAL, "DeviceTaintManagerEviction", f"Marking for deletion Pod {meta.key_of(pod)}")
        reason = ("DeletionByDeviceTaintManager", "Device Taint manager: deleting due to NoExecute taint")
        await evict(self.client, pod, *reason, now)
        return None

    def _claims_of(self, pod: Object) -> list[Object]:
        found = (named(self.claims, key) for key in resource_claims.used(pod))
        uid = meta.uid_of(pod)
        return [
            claim
            for claim in found
            if claim is not None and any(each["uid"] == uid for each in resource_claims.reserved_for(claim))
        ]

    def _taints(self, device: DeviceId) -> list[Object]:
        """As the newest generation of the pool says. A device that is not there (any more) has none."""
        slices = self.slices.by_index("pool", "/".join(device[:2]))
        newest = max((each["spec"]["pool"]["generation"] for each in slices), default=0)
        return [
            taint
            for each in slices
            if each["spec"]["pool"]["generation"] == newest
            for name, found in devices(each)
            if name == device
            for taint in found.get("taints") or ()
        ]

    def _pod_seen(self, pod: Object) -> None:
        if any(resource_claims.used(pod)):
            self.enqueue(pod)

    def _claim_changed(self, claim: Object) -> None:
        for pod in self.pods.by_index("resource claim", meta.key_of(claim)):
            self.enqueue(pod)

    def _slice_changed(self, slice_: Object) -> None:
        for device, found in devices(slice_):
            if any(taint.get("effect") == NO_EXECUTE for taint in found.get("taints") or ()):
                for claim in self.claims.by_index("device", "/".join(device)):
                    self._claim_changed(claim)
