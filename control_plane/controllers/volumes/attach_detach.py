"""attach-detach: has the volumes of CSI drivers attached to the nodes that use them, and tells the nodes.

A key is a volume's name, or `nodes/` and a node's, whose `status.volumesAttached` is brought up to date: a volume
is in it from when its driver has attached it until just before its VolumeAttachment is deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_already_exists, is_not_found
from control_plane.api.meta import Object
from control_plane.client.gvr import (
    CSI_DRIVERS,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    VOLUME_ATTACHMENTS,
)
from control_plane.client.informer import Informer
from control_plane.controllers import pods
from control_plane.controllers.context import NORMAL, WARNING, Context, EventType
from control_plane.controllers.controller import Controller
from control_plane.controllers.volumes import attachments
from control_plane.controllers.volumes.binder import BY_CLAIM, claim_keys

NODE = "nodes/"
BY_VOLUME, BY_ATTACHED_NODE, BY_DRIVER = "volume", "attached node", "driver"


class AttachDetachController(Controller):
    name = "persistentvolume-attach-detach"
    source = "attachdetach-controller"
    account = "attachdetach-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.volumes = self.informer(PERSISTENT_VOLUMES)
        self.claims = self.informer(PERSISTENT_VOLUME_CLAIMS)
        self.pods = self.informer(PODS)
        self.nodes = self.informer(NODES)
        self.drivers = self.informer(CSI_DRIVERS)
        self.attachments = self.informer(VOLUME_ATTACHMENTS)
        self.unwanted_since: dict[str, dict[str, float]] = {}  # by volume, by node; bounded by attachments
        self.detaching: set[str] = set()  # attachments that their node is not told of any more
        self.told: dict[str, set[str]] = {}  # by volume: pods that know that they must wait
        self._index()
        self._listen()

    def _index(self) -> None:
        self.pods.add_index(BY_CLAIM, claim_keys)
        pods.index_by_node(self.pods)
        self.volumes.add_index(BY_DRIVER, lambda each: [each["spec"].get("csi", {}).get("driver", "")])
        self.attachments.add_index(BY_VOLUME, lambda each: [_volume_of(each)])
        self.attachments.add_index(BY_ATTACHED_NODE, lambda each: [each["spec"]["nodeName"]])

    def _listen(self) -> None:
        self.reconcile_each(self.volumes)
        _on_any_change(self.claims, self._claim_seen)
        _on_any_change(self.pods, self._pod_seen)
        _on_any_change(self.drivers, self._driver_seen)
        self.nodes.add_handler(self._node_seen, self._node_changed, self._node_seen)
        self.attachments.add_handler(self._attachment_seen, self._attachment_changed, self._attachment_seen)

    async def reconcile(self, key: str) -> float | None:
        if key.startswith(NODE):
            await self._report(key.removeprefix(NODE))
            return None
        found = self.attachments.by_index(BY_VOLUME, key)
        volume = self.volumes.get("", key)
        if volume is None:
            self.unwanted_since.pop(key, None)
            self.told.pop(key, None)
            for each in filter(attachments.is_ours, found):
                await self._detach(each)
            return None
        if "csi" not in volume["spec"]:
            return None
        driver = self.drivers.get("", volume["spec"]["csi"]["driver"])
        users = self._users(volume) if attachments.is_attachable(volume, driver) else []
        now = self.context.now()
        nodes = {meta.name_of(each): each for each in self.nodes.list()}
        since = self._unwanted(key, users, found, now)
        wanted = attachments.plan(volume, users, found, nodes, since, now)
        self._tell(key, users, wanted.refused)
        self._keep([each for each in found if each not in wanted.detach])
        for node in wanted.attach:
            await self._attach(volume, node)
        for each in wanted.detach:
            await self._detach(each)
        return wanted.look_again_s

    def _users(self, volume: Object) -> list[Object]:
        reference = volume["spec"].get("claimRef") or {}
        key = f"{reference.get('namespace', '')}/{reference.get('name', '')}"
        claim = self.claims.get(*meta.split_key(key))
        bound = claim is not None and claim["spec"].get("volumeName") == meta.name_of(volume)
        return list(self.pods.by_index(BY_CLAIM, key)) if bound else []

    def _unwanted(self, key: str, users: list[Object], found: list[Object], now: float) -> dict[str, float]:
        wanted = {pod["spec"]["nodeName"] for pod in users if attachments.wants(pod)}
        before = self.unwanted_since.get(key, {})
        there = {each["spec"]["nodeName"] for each in found}
        since = {node: before.get(node, now) for node in there - wanted}
        if since:
            self.unwanted_since[key] = since
        else:
            self.unwanted_since.pop(key, None)
        return since

    def _keep(self, found: list[Object]) -> None:
        """Wanted again before they were deleted."""
        for each in found:
            if meta.name_of(each) in self.detaching and not meta.is_deleting(each):
                self.detaching.discard(meta.name_of(each))
                self.queue.add(NODE + each["spec"]["nodeName"])

    # ---- writes

    async def _attach(self, volume: Object, node: str) -> None:
        wanted = attachments.attachment(volume, node)
        self.detaching.discard(meta.name_of(wanted))
        try:
            await self.client.create(VOLUME_ATTACHMENTS, wanted)
        except StatusError as error:
            if not is_already_exists(error):
                raise

    async def _detach(self, found: Object) -> None:
        """The node hears first, so that it does not start a pod on a volume that is about to go."""
        self.detaching.add(meta.name_of(found))
        await self._report(found["spec"]["nodeName"])
        try:
            await self.client.delete(VOLUME_ATTACHMENTS, meta.name_of(found), uid=meta.uid_of(found))
        except StatusError as error:
            if not is_not_found(error):
                raise

    async def _report(self, name: str) -> None:
        node = self.nodes.get("", name)
        if node is None:
            return
        attached = sorted(
            attachments.unique_name(volume)
            for each in self.attachments.by_index(BY_ATTACHED_NODE, name)
            if attachments.is_attached(each) and not self._is_going(each)
            if (volume := self.volumes.get("", _volume_of(each))) is not None and "csi" in volume["spec"]
        )
        told = [each["name"] for each in meta.nested(node, "status", "volumesAttached", default=())]
        if attached == sorted(told):
            return
        listed = [{"name": each, "devicePath": ""} for each in attached]
        patch = {"metadata": {"uid": meta.uid_of(node)}, "status": {"volumesAttached": listed}}
        await self.client.patch(NODES, name, patch, "", "merge", "status")

    def _is_going(self, found: Object) -> bool:
        return meta.is_deleting(found) or meta.name_of(found) in self.detaching

    def _tell(self, key: str, users: list[Object], refused: Mapping[str, str]) -> None:
        before = self.told.get(key, set())
        for pod in users:
            why = refused.get(meta.uid_of(pod))
            if why is not None and meta.uid_of(pod) not in before:
                self.record(pod, WARNING, "FailedAttachVolume", why)
        if refused:
            self.told[key] = set(refused)
        else:
            self.told.pop(key, None)

    # ---- events

    def _claim_seen(self, claim: Object) -> None:
        if volume := meta.nested(claim, "spec", "volumeName"):
            self.queue.add(volume)

    def _pod_seen(self, pod: Object) -> None:
        for key in claim_keys(pod):
            if (claim := self.claims.get(*meta.split_key(key))) is not None:
                self._claim_seen(claim)

    def _driver_seen(self, driver: Object) -> None:
        for volume in self.volumes.by_index(BY_DRIVER, meta.name_of(driver)):
            self.enqueue(volume)

    def _node_seen(self, node: Object) -> None:
        name = meta.name_of(node)
        self.queue.add(NODE + name)
        for each in self.attachments.by_index(BY_ATTACHED_NODE, name):
            self.queue.add(_volume_of(each))
        for pod in self.pods.by_index(pods.BY_NODE, name):
            self._pod_seen(pod)

    def _node_changed(self, old: Object, new: Object) -> None:
        """Heartbeats change nothing here."""
        if _decides(old) != _decides(new):
            self._node_seen(new)

    def _attachment_seen(self, found: Object) -> None:
        if self.attachments.get("", meta.name_of(found)) is None:
            self.detaching.discard(meta.name_of(found))
        self.queue.add(_volume_of(found))
        self.queue.add(NODE + found["spec"]["nodeName"])

    def _attachment_changed(self, old: Object, new: Object) -> None:
        self._attachment_seen(new)
        name = _volume_of(new)
        if attachments.is_attached(new) and not attachments.is_attached(old):
            text = f'AttachVolume.Attach succeeded for volume "{name}"'
            self._tell_users(new, NORMAL, "SuccessfulAttachVolume", text)
        problem = meta.nested(new, "status", "attachError", "message")
        if problem and problem != meta.nested(old, "status", "attachError", "message"):
            text = f'AttachVolume.Attach failed for volume "{name}" : {problem}'
            self._tell_users(new, WARNING, "FailedAttachVolume", text)

    def _tell_users(self, found: Object, type_: EventType, reason: str, text: str) -> None:
        volume = self.volumes.get("", _volume_of(found))
        for pod in self._users(volume) if volume is not None else ():
            if meta.nested(pod, "spec", "nodeName") == found["spec"]["nodeName"]:
                self.record(pod, type_, reason, text)


def _on_any_change(informer: Informer, seen: Callable[[Object], None]) -> None:
    informer.add_handler(seen, lambda _, new: seen(new), seen)


def _volume_of(found: Object) -> str:
    name: str = meta.nested(found, "spec", "source", "persistentVolumeName", default="")
    return name


def _decides(node: Object) -> tuple[object, ...]:
    status = node.get("status") or {}
    return (
        meta.annotations(node).get(attachments.MANAGED),
        meta.nested(node, "spec", "taints"),
        meta.condition_is_true(node, "Ready"),
        status.get("volumesInUse"),
        status.get("volumesAttached"),
    )
