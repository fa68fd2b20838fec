"""replicaset: as many active pods as `spec.replicas` says, made from the template, matching the selector.

The replicationcontroller loop is the same with another kind; both are instances of `ReplicaController`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from control_plane.api import meta, selectors
from control_plane.api.meta import Object
from control_plane.client.gvr import GVR, PODS, REPLICA_SETS, REPLICATION_CONTROLLERS
from control_plane.controllers import batch, ownership, pods
from control_plane.controllers.context import Context
from control_plane.controllers.controller import Controller, named
from control_plane.controllers.expectations import LOOK_AGAIN_S
from control_plane.controllers.pod_control import PodControl


@dataclass(frozen=True, slots=True)
class Failure:
    """Pods that could not be made or deleted: shown in the status, then tried again."""

    reason: str
    cause: BaseException


@dataclass(frozen=True, slots=True)
class Plan:
    create: int
    delete: list[Object]


def plan(owner: Object, active: Sequence[Object], related: Sequence[Object], now: float) -> Plan:
    """How many pods to make, or which to delete. `related`: the pods of all sets of the same controller, which
    decide which node has more than its share."""
    missing = replicas(owner) - len(active)
    if missing >= 0:
        return Plan(min(missing, batch.BURST), [])
    excess = min(-missing, batch.BURST)
    return Plan(0, pods.deletion_order(active, related, now)[:excess])


def replicas(owner: Object) -> int:
    return int(meta.nested(owner, "spec", "replicas", default=1))


def status(owner: Object, owned: Sequence[Object], now: float, failure: Failure | None) -> dict[str, Any]:
    """The owner's status as its pods show it. A failure becomes the condition ReplicaFailure."""
    active = [pod for pod in owned if pods.is_active(pod)]
    template_labels = selectors.from_set(
        meta.nested(owner, "spec", "template", "metadata", "labels", default={})
    )
    min_ready_s = int(meta.nested(owner, "spec", "minReadySeconds", default=0))
    old = owner.get("status") or {}
    new = {
        "replicas": len(active),
        "fullyLabeledReplicas": sum(template_labels.matches(meta.labels(pod)) for pod in active),
        "readyReplicas": sum(pods.is_ready(pod) for pod in active),
        "availableReplicas": sum(pods.is_available(pod, min_ready_s, now) for pod in active),
        "observedGeneration": meta.metadata(owner).get("generation", 0),
    }
    conditions = _conditions(old.get("conditions") or [], failure, now)
    shown = {name: value for name, value in new.items() if value or name == "replicas"}
    if owner.get("kind") == "ReplicaSet":
        shown["terminatingReplicas"] = sum(pods.is_terminating(pod) for pod in owned)
    return {**shown, "conditions": conditions} if conditions else shown


def _conditions(old: list[Object], failure: Failure | None, now: float) -> list[Object]:
    others = [each for each in old if each["type"] != "ReplicaFailure"]
    if failure is None:
        return others
    kept = next((each for each in old if each["type"] == "ReplicaFailure"), None)
    since = kept["lastTransitionTime"] if kept else meta.rfc3339(now)
    words = {"reason": failure.reason, "message": str(failure.cause)}
    return [*others, {"type": "ReplicaFailure", "status": "True", "lastTransitionTime": since, **words}]


class ReplicaController(Controller):
    gvr: ClassVar[GVR]
    kind: ClassVar[str]

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.owners = self.informer(self.gvr)
        self.pods = self.informer(PODS)
        self.pod_control = PodControl(self, self.pods)
        self.expectations = self.pod_control.expectations
        ownership.index_by_owner(self.pods)
        self.owners.add_index(ownership.BY_OWNER, ownership.owner_uid)
        self.reconcile_each(self.owners)
        self.reconcile_owner(self.pods, self.kind)
        self.pods.add_handler(on_add=self._orphan_seen, on_update=lambda _, new: self._orphan_seen(new))

    async def reconcile(self, key: str) -> float | None:
        owner = named(self.owners, key)
        if owner is None:
            self.expectations.forget(key)
            return None
        owned = await self._owned(owner)
        error = None
        fresh = self.expectations.satisfied(key, owned)
        if fresh and not meta.is_deleting(owner):
            error = await self._scale(key, owner, [pod for pod in owned if pods.is_active(pod)])
        await self._update_status(owner, status(owner, owned, self.context.now(), error))
        if error is not None:
            raise error.cause
        if not fresh:
            return LOOK_AGAIN_S
        min_ready_s = int(meta.nested(owner, "spec", "minReadySeconds", default=0))
        return pods.available_in_s(filter(pods.is_active, owned), min_ready_s, self.context.now())

    def selector(self, owner: Object) -> selectors.LabelSelector:
        return selectors.from_label_selector(meta.nested(owner, "spec", "selector"))

    async def _owned(self, owner: Object) -> list[Object]:
        return await ownership.claim(
            self.client,
            PODS,
            self.gvr,
            owner,
            self.selector(owner),
            ownership.candidates(self.pods, owner),
            may_adopt=pods.is_active,
        )

    async def _scale(self, key: str, owner: Object, active: Sequence[Object]) -> Failure | None:
        now = self.context.now()
        planned = plan(owner, active, self._related(owner), now)
        if planned.create:
            template = meta.nested(owner, "spec", "template", default={})
            prefix = f"{meta.name_of(owner)}-"
            error = await self.pod_control.create_all(
                key, owner, lambda _: pods.from_template(template, owner, prefix), planned.create
            )
            return Failure("FailedCreate", error) if error else None
        error = await self.pod_control.delete_all(key, owner, planned.delete)
        return Failure("FailedDelete", error) if error else None

    def _related(self, owner: Object) -> list[Object]:
        """The pods of all sets that share this one's controller (a deployment's revisions)."""
        controller = meta.controller_of(owner)
        sets = self.owners.by_index(ownership.BY_OWNER, controller["uid"]) if controller else (owner,)
        return [pod for each in sets for pod in ownership.children(self.pods, each)]

    async def _update_status(self, owner: Object, wanted: dict[str, Any]) -> None:
        if wanted == (owner.get("status") or {}):
            return
        await self.client.update(self.gvr, {**owner, "status": wanted}, "status")

    def _orphan_seen(self, pod: Object) -> None:
        """A pod without a controller may be adopted by any owner whose selector it matches."""
        if meta.controller_of(pod) is not None or not meta.labels(pod):
            return
        for owner in self.owners.list(meta.namespace_of(pod)):
            if self.selector(owner).matches(meta.labels(pod)):
                self.enqueue(owner)


class ReplicaSetController(ReplicaController):
    name = "replicaset"
    account = "replicaset-controller"
    gvr = REPLICA_SETS
    kind = "ReplicaSet"


class ReplicationControllerController(ReplicaController):
    name = "replicationcontroller"
    account = "replication-controller"
    gvr = REPLICATION_CONTROLLERS
    kind = "ReplicationController"

    def selector(self, owner: Object) -> selectors.LabelSelector:
        return selectors.from_set(meta.nested(owner, "spec", "selector"))
