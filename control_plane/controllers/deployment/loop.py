"""The deployment loop: claims its replica sets, decides the next step, writes it, reports."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from control_plane.api import meta, selectors
from control_plane.api.errors import StatusError, is_already_exists, is_not_found
from control_plane.api.meta import Object
from control_plane.client.gvr import DEPLOYMENTS, PODS, REPLICA_SETS
from control_plane.controllers import ownership, pods
from control_plane.controllers.context import NORMAL, WARNING, Context
from control_plane.controllers.controller import Controller, named
from control_plane.controllers.deployment import revision, rolling, status


@dataclass(slots=True)
class Rollout:
    """One look at a deployment: its sets, told apart. `notes` are steps to show in the condition Progressing."""

    deployment: Object
    new: Object | None
    old: list[Object]
    notes: list[tuple[str, str, str]]

    @property
    def sets(self) -> list[Object]:
        return [*self.old, self.new] if self.new else list(self.old)


class DeploymentController(Controller):
    name = "deployment"
    account = "deployment-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.deployments = self.informer(DEPLOYMENTS)
        self.sets = self.informer(REPLICA_SETS)
        self.pods = self.informer(PODS)
        ownership.index_by_owner(self.sets)
        ownership.index_by_owner(self.pods)
        self.reconcile_each(self.deployments)
        self.reconcile_owner(self.sets, "Deployment")
        self.sets.add_handler(on_add=self._orphan_seen, on_update=lambda _, new: self._orphan_seen(new))
        self.pods.add_handler(on_update=self._pod_changed, on_delete=self._pod_gone)

    async def reconcile(self, key: str) -> float | None:
        deployment = named(self.deployments, key)
        if deployment is None:
            return None
        if not meta.nested(deployment, "spec", "selector"):
            text = "This deployment is selecting all pods. A non-empty selector is required."
            self.record(deployment, WARNING, "SelectingAll", text)
            return None
        rollout = await self._look(deployment)
        if not meta.is_deleting(deployment):
            self._note_pause(rollout)
            await self._step(rollout)
            await self._copy_revision(rollout)
        wait_s = await self._report(rollout)
        if not meta.is_deleting(deployment) and not deployment["spec"].get("paused"):
            await self._clean_up(rollout)
        return wait_s

    async def _look(self, deployment: Object) -> Rollout:
        sets = await ownership.claim(
            self.client,
            REPLICA_SETS,
            DEPLOYMENTS,
            deployment,
            selectors.from_label_selector(deployment["spec"]["selector"]),
            ownership.candidates(self.sets, deployment),
        )
        new = revision.find_new(deployment, sets)
        return Rollout(deployment, new, [each for each in revision.by_age(sets) if each is not new], [])

    async def _step(self, rollout: Rollout) -> None:
        deployment = rollout.deployment
        if deployment["spec"].get("paused") or self._was_scaled(rollout):
            await self._sync_new(rollout, create=False)
            await self._scale_all(rollout, rolling.proportionally(deployment, rollout.sets, rollout.new))
        elif rolling.is_rolling(deployment):
            await self._roll(rollout)
        else:
            await self._recreate(rollout)

    def _was_scaled(self, rollout: Rollout) -> bool:
        """The deployment's replicas differ from what its sets in use were made for."""
        target = str(rolling.wanted(rollout.deployment))
        asked = (
            meta.annotations(each).get(revision.DESIRED_REPLICAS)
            for each in rollout.sets
            if rolling.wanted(each)
        )
        return any(each is not None and each != target for each in asked)

    async def _roll(self, rollout: Rollout) -> None:
        await self._sync_new(rollout, create=True)
        if rollout.new is None:
            return
        growing = rolling.grow_new(rollout.deployment, rollout.sets, rollout.new)
        if growing:
            await self._scale_all(rollout, growing)
            return
        await self._scale_all(rollout, rolling.shrink_old(rollout.deployment, rollout.old, rollout.new))

    async def _recreate(self, rollout: Rollout) -> None:
        """Down to nothing, and only when the last old pod is gone up again."""
        await self._sync_new(rollout, create=False)
        active = [each for each in rollout.old if rolling.wanted(each)]
        if active:
            await self._scale_all(rollout, [rolling.Scale(each, 0) for each in active])
            return
        if any(self._still_running(each) for each in rollout.old):
            return
        await self._sync_new(rollout, create=True)
        if rollout.new is not None and rolling.wanted(rollout.new) != rolling.wanted(rollout.deployment):
            await self._scale_all(rollout, [rolling.Scale(rollout.new, rolling.wanted(rollout.deployment))])

    def _still_running(self, replica_set: Object) -> bool:
        return any(not pods.is_finished(pod) for pod in ownership.children(self.pods, replica_set))

    # The new replica set

    async def _sync_new(self, rollout: Rollout, *, create: bool) -> None:
        if rollout.new is not None:
            await self._annotate_new(rollout, rollout.new)
        elif create:
            await self._create_new(rollout)

    async def _annotate_new(self, rollout: Rollout, new: Object) -> None:
        deployment = rollout.deployment
        annotations = revision.annotations_of_new(deployment, new, rollout.old)
        min_ready = int(deployment["spec"].get("minReadySeconds", 0))
        same_wait = int(new["spec"].get("minReadySeconds", 0)) == min_ready
        if annotations != meta.annotations(new) or not same_wait:
            changed = {**new, "metadata": {**new["metadata"], "annotations": annotations}}
            changed["spec"] = {**new["spec"], "minReadySeconds": min_ready}
            rollout.new = await self.client.update(REPLICA_SETS, changed)
        if status.deadline_s(deployment) is not None and meta.condition(deployment, "Progressing") is None:
            rollout.notes.append(
                ("FoundNewReplicaSet", f'Found new replica set "{meta.name_of(new)}"', "True")
            )

    async def _create_new(self, rollout: Rollout) -> None:
        deployment = rollout.deployment
        limit = rolling.bounds(deployment)
        count = rolling.new_replicas(deployment, rollout.sets, None)
        wanted = revision.new_set(deployment, rollout.old, count, limit.maximum)
        name = meta.name_of(wanted)
        try:
            rollout.new = await self.client.create(REPLICA_SETS, wanted)
        except StatusError as error:
            if is_already_exists(error):
                await self._resolve_collision(rollout, name)
                raise
            text = f'Failed to create new replica set "{name}": {error}'
            self.record(deployment, WARNING, "ReplicaSetCreateError", text)
            await self._report_failure(rollout, text)
            raise
        rollout.notes.append(("NewReplicaSetCreated", f'Created new replica set "{name}"', "True"))
        if count:
            text = f"Scaled up replica set {name} from 0 to {count}"
            self.record(deployment, NORMAL, "ScalingReplicaSet", text)

    async def _resolve_collision(self, rollout: Rollout, name: str) -> None:
        """The name is taken. By our own set, which the informer will show: look again. By another template of the
        same hash: count the collision, so that the next hash is another one."""
        deployment = rollout.deployment
        taken = await self.client.get(REPLICA_SETS, name, meta.namespace_of(deployment))
        ours = meta.is_controlled_by(taken, deployment)
        if ours and revision.find_new(deployment, [taken]) is not None:
            return
        old = deployment.get("status") or {}
        counted = {**old, "collisionCount": int(old.get("collisionCount", 0)) + 1}
        await self.client.update(DEPLOYMENTS, {**deployment, "status": counted}, "status")

    async def _report_failure(self, rollout: Rollout, text: str) -> None:
        rollout.notes.append(("ReplicaSetCreateError", text, "False"))
        await self._report(rollout)

    # Scaling

    async def _scale_all(self, rollout: Rollout, scales: Sequence[rolling.Scale]) -> None:
        for scale in scales:
            updated = await self._scale(rollout.deployment, scale)
            if rollout.new is scale.replica_set:
                rollout.new = updated
            else:
                rollout.old = [updated if each is scale.replica_set else each for each in rollout.old]
        await self._note_sizes(rollout, {meta.uid_of(each.replica_set) for each in scales})

    async def _scale(self, deployment: Object, scale: rolling.Scale) -> Object:
        before, after = rolling.wanted(scale.replica_set), scale.replicas
        updated = await self._write_size(deployment, scale.replica_set, after)
        if before != after:
            way = "up" if after > before else "down"
            text = f"Scaled {way} replica set {meta.name_of(updated)} from {before} to {after}"
            self.record(deployment, NORMAL, "ScalingReplicaSet", text)
        return updated

    async def _note_sizes(self, rollout: Rollout, done: set[str]) -> None:
        """Sets in use remember what they were scaled for, so that the next change of replicas is noticed."""
        notes = revision.scale_annotations(
            rolling.wanted(rollout.deployment), rolling.bounds(rollout.deployment).maximum
        )
        for each in rollout.sets:
            stale = any(meta.annotations(each).get(key) != value for key, value in notes.items())
            if rolling.wanted(each) and stale and meta.uid_of(each) not in done:
                await self._write_size(rollout.deployment, each, rolling.wanted(each))

    async def _write_size(self, deployment: Object, replica_set: Object, replicas: int) -> Object:
        notes = revision.scale_annotations(rolling.wanted(deployment), rolling.bounds(deployment).maximum)
        metadata = replica_set["metadata"]
        changed = {
            **replica_set,
            "metadata": {**metadata, "annotations": {**(metadata.get("annotations") or {}), **notes}},
            "spec": {**replica_set["spec"], "replicas": replicas},
        }
        return await self.client.update(REPLICA_SETS, changed)

    # Reporting

    def _note_pause(self, rollout: Rollout) -> None:
        deployment = rollout.deployment
        current = meta.condition(deployment, "Progressing")
        if status.deadline_s(deployment) is None or (current or {}).get("reason") == status.TIMED_OUT:
            return
        was_paused = (current or {}).get("reason") == status.PAUSED
        if deployment["spec"].get("paused") and not was_paused:
            rollout.notes.append((status.PAUSED, "Deployment is paused", "Unknown"))
        elif not deployment["spec"].get("paused") and was_paused:
            rollout.notes.append((status.RESUMED, "Deployment is resumed", "Unknown"))

    async def _report(self, rollout: Rollout) -> float | None:
        """Write the status; seconds until the rollout's deadline."""
        deployment, now = rollout.deployment, self.context.now()
        wanted = status.compute(deployment, rollout.sets, rollout.new, now)
        for reason, message, value in rollout.notes:
            status.note(wanted, reason, message, now, value)
        paused = bool(deployment["spec"].get("paused"))
        if not paused and not meta.is_deleting(deployment):
            status.progress(deployment, wanted, rollout.new, now)
        if not _same(wanted, deployment.get("status") or {}):
            await self._write_status(deployment, wanted)
        left_s = None if paused else status.deadline_in_s(deployment, wanted, now)
        return math.ceil(left_s) if left_s else None

    async def _write_status(self, deployment: Object, wanted: dict[str, Any]) -> None:
        try:
            await self.client.update(DEPLOYMENTS, {**deployment, "status": wanted}, "status")
        except StatusError as error:
            if not is_not_found(error):
                raise

    async def _copy_revision(self, rollout: Rollout) -> None:
        """The deployment carries the revision of its new set, as `kubectl rollout` reads it."""
        if rollout.new is None:
            return
        current = meta.annotations(rollout.new).get(revision.REVISION)
        deployment = rollout.deployment
        if current and meta.annotations(deployment).get(revision.REVISION) != current:
            annotations = {**meta.annotations(deployment), revision.REVISION: current}
            changed = {**deployment, "metadata": {**deployment["metadata"], "annotations": annotations}}
            rollout.deployment = await self.client.update(DEPLOYMENTS, changed)

    async def _clean_up(self, rollout: Rollout) -> None:
        for each in revision.to_clean_up(rollout.deployment, rollout.old):
            await self.client.delete(
                REPLICA_SETS,
                meta.name_of(each),
                meta.namespace_of(each),
                uid=meta.uid_of(each),
                resource_version=meta.resource_version_of(each),
                propagation="Background",
            )

    # Waking up

    def _pod_changed(self, _: Object, pod: Object) -> None:
        if pods.is_finished(pod):
            self._pod_gone(pod)

    def _pod_gone(self, pod: Object) -> None:
        """A Recreate rollout waits for the last old pod to go."""
        controller = meta.controller_of(pod)
        if controller is None or controller["kind"] != "ReplicaSet":
            return
        replica_set = self.sets.get(meta.namespace_of(pod), controller["name"])
        owner = meta.controller_of(replica_set) if replica_set else None
        if owner is not None and owner["kind"] == "Deployment":
            deployment = self.deployments.get(meta.namespace_of(pod), owner["name"])
            if deployment is not None and not rolling.is_rolling(deployment):
                self.enqueue(deployment)

    def _orphan_seen(self, replica_set: Object) -> None:
        if meta.controller_of(replica_set) is not None:
            return
        for deployment in self.deployments.list(meta.namespace_of(replica_set)):
            selector = selectors.from_label_selector(deployment["spec"].get("selector"))
            if selector.matches(meta.labels(replica_set)):
                self.enqueue(deployment)


def _same(wanted: dict[str, Any], current: dict[str, Any]) -> bool:
    """Equal but for the order of conditions."""

    def canonical(value: dict[str, Any]) -> dict[str, Any]:
        return {
            **value,
            "conditions": sorted(value.get("conditions") or [], key=lambda each: str(each["type"])),
        }

    return canonical(wanted) == canonical(current)
