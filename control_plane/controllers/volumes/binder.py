"""persistentvolume-binder: brings claims and volumes together, and parts them again.

A key with a namespace is a claim's, one without a volume's. The order of writes is that of kube-controller-manager
(the volume's reference, its phase, the claim's reference, its phase), each with the resourceVersion it is based on:
whichever is the last one done, the next look goes on from there.
"""

from __future__ import annotations

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_already_exists, is_not_found
from control_plane.api.meta import Object
from control_plane.client.gvr import (
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    STORAGE_CLASSES,
)
from control_plane.controllers.context import NORMAL, WARNING, Context
from control_plane.controllers.controller import Controller, named
from control_plane.controllers.volumes import claims, local_path
from control_plane.controllers.volumes.volume_side import VolumeSide

RESYNC_S = 15.0
BY_CLAIM = "claim"
WAITING_FOR_PROVISIONER = (
    "Waiting for a volume to be created either by the external provisioner '{}' or manually by the system "
    "administrator. If volume creation is delayed, please verify that the provisioner is running and correctly "
    "registered."
)


class PersistentVolumeBinder(Controller):
    name = "persistentvolume-binder"
    source = "persistentvolume-controller"
    account = "persistent-volume-binder"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.claims = self.informer(PERSISTENT_VOLUME_CLAIMS)
        self.volumes = self.informer(PERSISTENT_VOLUMES)
        self.classes = self.informer(STORAGE_CLASSES)
        self.nodes = self.informer(NODES)
        self.pods = self.informer(PODS)
        self.pods.add_index(BY_CLAIM, claim_keys)
        self.side = VolumeSide(self.client, self.record, context.now, self.claims, self.nodes)
        self.reconcile_each(self.claims)
        self.reconcile_each(self.volumes)
        self.claims.add_handler(on_update=lambda _, new: self._volume_of(new), on_delete=self._volume_of)
        self.volumes.add_handler(
            on_add=self._volume_seen,
            on_update=lambda _, new: self._volume_seen(new),
            on_delete=self._volume_gone,
        )
        self.classes.add_handler(on_add=self._class_seen, on_update=lambda _, new: self._class_seen(new))
        self.nodes.add_handler(on_update=self._node_changed, on_delete=self._node_gone)
        self.pods.add_handler(on_add=self._pod_seen, on_update=lambda _, new: self._pod_seen(new))

    async def reconcile(self, key: str) -> float | None:
        if "/" not in key:
            return await self._reconcile_volume(key)
        return await self._reconcile_claim(key)

    async def _reconcile_volume(self, name: str) -> float | None:
        volume = self.volumes.get("", name)
        if volume is None:
            return None
        planned, wait_s = await self.side.reconcile(volume)
        if planned.look_at_claim:
            self.queue.add(_claim_key(volume))
        return wait_s

    async def _reconcile_claim(self, key: str) -> float | None:
        claim = named(self.claims, key)
        if claim is None or meta.is_deleting(claim):
            return None
        if claims.BIND_COMPLETED in meta.annotations(claim):
            await self._check_bound(claim)
            return None
        return await self._find_volume(claim)

    # ---- a claim without a volume

    async def _find_volume(self, claim: Object) -> float | None:
        if name := claim["spec"].get("volumeName"):
            return await self._bind_named(claim, name)
        if claims.has_no_class(claim) and (found := claims.default_class(self.classes.list())):
            spec = {**claim["spec"], "storageClassName": meta.name_of(found)}
            claim = await self.client.update(PERSISTENT_VOLUME_CLAIMS, {**claim, "spec": spec})
        storage_class = self.classes.get("", claims.class_of(claim))
        volume = self._match(claim, storage_class)
        if volume is not None:
            await self._bind(volume, claim)
            return None
        if claims.waits_for_consumer(claim, storage_class):
            consumer = self._consumer_node(claim)
            if consumer is None:
                text = "waiting for first consumer to be created before binding"
                self.record(claim, NORMAL, "WaitForFirstConsumer", text)
                await self._write_claim_status(claim, "Pending")
                return None
            claim = claims.annotated(claim, claims.SELECTED_NODE, meta.name_of(consumer))
        if claims.class_of(claim):
            return await self._provision(claim, storage_class)
        text = "no persistent volumes available for this claim and no storage class is set"
        self.record(claim, NORMAL, "FailedBinding", text)
        await self._write_claim_status(claim, "Pending")
        return RESYNC_S

    def _match(self, claim: Object, storage_class: Object | None) -> Object | None:
        """Of a class that waits, only a volume that is meant for the claim, or one at its consumer's node."""
        volumes = self.volumes.list()
        if not claims.waits_for_consumer(claim, storage_class):
            return claims.find(claim, volumes)
        reserved = [each for each in volumes if claims.refers_to(each, claim)]
        node = self._consumer_node(claim)
        return claims.find(claim, reserved) or (claims.find(claim, volumes, node) if node else None)

    def _consumer_node(self, claim: Object) -> Object | None:
        """Of a pod that is on its node already: put there by hand, or by a scheduler that knows no volumes."""
        for pod in self.pods.by_index(BY_CLAIM, meta.key_of(claim)):
            name = pod["spec"].get("nodeName")
            if name and not meta.is_deleting(pod):
                return self.nodes.get("", name)
        return None

    async def _bind_named(self, claim: Object, name: str) -> float | None:
        volume = self.volumes.get("", name)
        if volume is None:
            await self._write_claim_status(claim, "Pending")
            return None
        reference = volume["spec"].get("claimRef")
        if reference is not None and not claims.refers_to(volume, claim):
            text = f'volume "{name}" already bound to a different claim.'
            self.record(claim, WARNING, "FailedBinding", text)
            await self._write_claim_status(claim, "Pending")
            return RESYNC_S
        if why := claims.mismatch(volume, claim):
            self.record(claim, WARNING, "VolumeMismatch", f'Cannot bind to requested volume "{name}": {why}')
            await self._write_claim_status(claim, "Pending")
            return RESYNC_S
        await self._bind(volume, claim)
        return None

    async def _bind(self, volume: Object, claim: Object) -> None:
        wanted = claims.bound_volume(volume, claim)
        if wanted is not volume:
            volume = await self.client.update(PERSISTENT_VOLUMES, wanted)
        volume = await self.side.write_phase(volume, "Bound")
        bound = claims.bound_claim(claim, volume)
        if bound is not claim:
            claim = await self.client.update(PERSISTENT_VOLUME_CLAIMS, bound)
        await self._write_claim_status(claim, "Bound", volume)

    # ---- a claim that had a volume

    async def _check_bound(self, claim: Object) -> None:
        name = claim["spec"].get("volumeName")
        volume = self.volumes.get("", name) if name else None
        if name and volume is None:
            volume = await self._get_volume(name)  # the claim may be seen before its volume
        if volume is not None:
            reference = volume["spec"].get("claimRef")
            if reference is None or reference.get("uid") in (None, "", meta.uid_of(claim)):
                await self._bind(volume, claim)
                return
            why, text = (
                "ClaimMisbound",
                "Two claims are bound to the same volume, this one is bound incorrectly",
            )
        elif name:
            why, text = "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
        else:
            why, text = (
                "ClaimLost",
                "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!",
            )
        if meta.nested(claim, "status", "phase") != "Lost":
            await self._write_claim_status(claim, "Lost")
            self.record(claim, WARNING, why, text)

    async def _get_volume(self, name: str) -> Object | None:
        try:
            return await self.client.get(PERSISTENT_VOLUMES, name)
        except StatusError as error:
            if is_not_found(error):
                return None
            raise

    # ---- provisioning

    async def _provision(self, claim: Object, storage_class: Object | None) -> float | None:
        if storage_class is None:
            text = f'storageclass.storage.k8s.io "{claims.class_of(claim)}" not found'
            self.record(claim, WARNING, "ProvisioningFailed", text)
            await self._write_claim_status(claim, "Pending")
            return RESYNC_S
        provisioner = storage_class.get("provisioner", "")
        if provisioner == "kubernetes.io/no-provisioner":
            await self._write_claim_status(claim, "Pending")
            return None
        claim = await self._name_provisioner(claim, provisioner)
        if provisioner == local_path.PROVISIONER:
            return await self._provision_local(claim, storage_class)
        self.record(claim, NORMAL, "ExternalProvisioning", WAITING_FOR_PROVISIONER.format(provisioner))
        await self._write_claim_status(claim, "Pending")
        return None

    async def _name_provisioner(self, claim: Object, provisioner: str) -> Object:
        wanted = claims.annotated(claim, claims.BETA_STORAGE_PROVISIONER, provisioner)
        wanted = claims.annotated(wanted, claims.STORAGE_PROVISIONER, provisioner)
        known = self.claims.get(meta.namespace_of(claim), meta.name_of(claim))
        if known is not None and meta.annotations(wanted) == meta.annotations(known):
            return claim
        return await self.client.update(PERSISTENT_VOLUME_CLAIMS, wanted)

    async def _provision_local(self, claim: Object, storage_class: Object) -> float | None:
        name, node_name = local_path.volume_name(claim), meta.annotations(claim).get(claims.SELECTED_NODE)
        node = (
            self.nodes.get("", node_name) if node_name else local_path.choose_node(claim, self.nodes.list())
        )
        why = local_path.refusal(claim)
        if node is None and not why:
            why = f'node "{node_name}" not found' if node_name else "no node is ready to hold the volume"
            if node_name:  # it will be scheduled anew
                moved = claims.without_annotation(claim, claims.SELECTED_NODE)
                claim = await self.client.update(PERSISTENT_VOLUME_CLAIMS, moved)
        if node is None or why:
            text = f'failed to provision volume with StorageClass "{meta.name_of(storage_class)}": {why}'
            self.record(claim, WARNING, "ProvisioningFailed", text)
            await self._write_claim_status(claim, "Pending")
            return RESYNC_S
        try:
            volume = await self.client.create(
                PERSISTENT_VOLUMES, local_path.make_volume(claim, storage_class, node)
            )
        except StatusError as error:
            if not is_already_exists(error):
                raise
            volume = await self.client.get(PERSISTENT_VOLUMES, name)
        else:
            text = f"Successfully provisioned volume {name} using {local_path.PROVISIONER}"
            self.record(claim, NORMAL, "ProvisioningSucceeded", text)
        if claims.refers_to(volume, claim):
            await self._bind(volume, claim)
        return None

    async def _write_claim_status(self, claim: Object, phase: str, volume: Object | None = None) -> None:
        wanted = claims.status(claim, phase, volume)
        if wanted != (claim.get("status") or {}):
            await self.client.update(PERSISTENT_VOLUME_CLAIMS, {**claim, "status": wanted}, "status")

    # ---- what wakes us

    def _volume_of(self, claim: Object) -> None:
        if name := claim["spec"].get("volumeName"):
            self.queue.add(name)
        else:  # one may be reserved for it
            for volume in self.volumes.list():
                if claims.refers_to(volume, claim):
                    self.enqueue(volume)

    def _volume_seen(self, volume: Object) -> None:
        if meta.nested(volume, "status", "phase") == "Available":
            self._enqueue_waiting()

    def _volume_gone(self, volume: Object) -> None:
        if volume["spec"].get("claimRef"):
            self.queue.add(_claim_key(volume))

    def _class_seen(self, _: Object) -> None:
        self._enqueue_waiting()

    def _node_changed(self, old: Object, new: Object) -> None:
        for name in set(local_path.held(old)) - set(local_path.held(new)):
            self.queue.add(name)

    def _node_gone(self, _: Object) -> None:
        for volume in self.volumes.list():
            if meta.is_deleting(volume):
                self.enqueue(volume)

    def _enqueue_waiting(self) -> None:
        for claim in self.claims.list():
            if claims.BIND_COMPLETED not in meta.annotations(claim):
                self.enqueue(claim)

    def _pod_seen(self, pod: Object) -> None:
        if not pod["spec"].get("nodeName"):
            return
        for key in claim_keys(pod):
            claim = named(self.claims, key)
            if claim is not None and claims.BIND_COMPLETED not in meta.annotations(claim):
                self.queue.add(key)


def _claim_key(volume: Object) -> str:
    reference = volume["spec"]["claimRef"]
    return f"{reference.get('namespace', '')}/{reference.get('name', '')}"


def claim_keys(pod: Object) -> list[str]:
    """The claims that a pod's volumes name, those of its ephemeral volumes too."""
    namespace, found = meta.namespace_of(pod), []
    for volume in meta.nested(pod, "spec", "volumes", default=()):
        if "persistentVolumeClaim" in volume:
            found.append(f"{namespace}/{volume['persistentVolumeClaim']['claimName']}")
        elif "ephemeral" in volume:
            found.append(f"{namespace}/{meta.name_of(pod)}-{volume['name']}")
    return found
