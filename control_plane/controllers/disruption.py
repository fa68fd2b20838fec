"""disruption: how many more pods of a PodDisruptionBudget may be evicted now.

The eviction subresource takes one from `status.disruptionsAllowed` and notes the pod in `status.disruptedPods`;
this loop counts anew whenever a pod, its owner or the budget changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from control_plane.api import meta, selectors
from control_plane.api.meta import Object
from control_plane.client.gvr import (
    DEPLOYMENTS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
)
from control_plane.client.informer import Informer
from control_plane.controllers import pods
from control_plane.controllers.context import WARNING, Context
from control_plane.controllers.controller import Controller, named
from control_plane.controllers.deployment.rolling import resolve

EVICTION_TIMEOUT_S = 120.0  # a pod that was to be evicted and is still there by then is counted again


@dataclass(frozen=True, slots=True)
class Expected:
    """How many pods there should be, and how many of them must be healthy."""

    pods: int
    healthy: int


def expected(budget: Object, matching: Sequence[Object], scale: int | None) -> Expected:
    """`scale`: what the pods' controllers ask for together; None when some has no known scale. Raises
    ValueError."""
    spec = budget["spec"]
    maximum, minimum = spec.get("maxUnavailable"), spec.get("minAvailable")
    if maximum is not None:
        if scale is None:
            raise ValueError("found no controllers with a scale for the selected pods")
        return Expected(scale, max(scale - resolve(maximum, scale, up=True), 0))
    if isinstance(minimum, str):
        if scale is None:
            raise ValueError("found no controllers with a scale for the selected pods")
        return Expected(scale, resolve(minimum, scale, up=True))
    return Expected(len(matching), int(minimum if minimum is not None else 1))


def status(budget: Object, matching: Sequence[Object], wanted: Expected, now: float) -> dict[str, Any]:
    old = budget.get("status") or {}
    disrupted = _still_waited_for(old.get("disruptedPods") or {}, matching, now)
    healthy = sum(
        pods.is_ready(pod) and not meta.is_deleting(pod) and meta.name_of(pod) not in disrupted
        for pod in matching
    )
    allowed = max(healthy - wanted.healthy, 0) if wanted.pods > 0 else 0
    made: dict[str, Any] = {
        "currentHealthy": healthy,
        "desiredHealthy": wanted.healthy,
        "expectedPods": wanted.pods,
        "disruptionsAllowed": allowed,
        "observedGeneration": meta.metadata(budget).get("generation", 0),
        "conditions": _conditions(old.get("conditions") or [], allowed, now),
    }
    return {**made, "disruptedPods": disrupted} if disrupted else made


def _still_waited_for(disrupted: Mapping[str, str], matching: Sequence[Object], now: float) -> dict[str, str]:
    alive = {meta.name_of(pod) for pod in matching if not meta.is_deleting(pod)}
    return {
        name: at
        for name, at in disrupted.items()
        if name in alive and now - (meta.parse_time(at) or 0) < EVICTION_TIMEOUT_S
    }


def _conditions(old: list[Object], allowed: int, now: float) -> list[Object]:
    value, reason = ("True", "SufficientPods") if allowed > 0 else ("False", "InsufficientPods")
    current = next((each for each in old if each["type"] == "DisruptionAllowed"), None)
    since = current["lastTransitionTime"] if current and current["status"] == value else meta.rfc3339(now)
    made = {
        "type": "DisruptionAllowed",
        "status": value,
        "reason": reason,
        "message": "",
        "lastTransitionTime": since,
    }
    return [*(each for each in old if each["type"] != "DisruptionAllowed"), made]


class DisruptionController(Controller):
    name = "disruption"
    source = "controllermanager"
    account = "disruption-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.budgets = self.informer(POD_DISRUPTION_BUDGETS)
        self.pods = self.informer(PODS)
        self.scaled: dict[str, Informer] = {
            "ReplicaSet": self.informer(REPLICA_SETS),
            "Deployment": self.informer(DEPLOYMENTS),
            "StatefulSet": self.informer(STATEFUL_SETS),
            "ReplicationController": self.informer(REPLICATION_CONTROLLERS),
        }
        self.reconcile_each(self.budgets)
        self.pods.add_handler(self._pod_seen, lambda old, new: self._enqueue(old, new), self._pod_seen)
        for informer in self.scaled.values():
            informer.add_handler(on_update=lambda _, new: self._enqueue_namespace(meta.namespace_of(new)))

    async def reconcile(self, key: str) -> float | None:
        budget = named(self.budgets, key)
        if budget is None or meta.is_deleting(budget):
            return None
        selector = selectors.from_label_selector(budget["spec"].get("selector"))
        matching = [
            pod
            for pod in self.pods.list(meta.namespace_of(budget))
            if selector.matches(meta.labels(pod)) and not pods.is_finished(pod)
        ]
        now = self.context.now()
        try:
            wanted = expected(budget, matching, self._scale(matching))
        except ValueError as error:
            self.record(budget, WARNING, "CalculateExpectedPodCountFailed", str(error))
            wanted = Expected(len(matching), len(matching))  # nothing may go while we do not know
        made = status(budget, matching, wanted, now)
        if made != (budget.get("status") or {}):
            await self.client.update(POD_DISRUPTION_BUDGETS, {**budget, "status": made}, "status")
        return EVICTION_TIMEOUT_S if made.get("disruptedPods") else None

    def _scale(self, matching: Sequence[Object]) -> int | None:
        owners: dict[str, int] = {}
        for pod in matching:
            found = self._top_owner(pod)
            if found is None:
                return None
            owners[meta.uid_of(found)] = int(meta.nested(found, "spec", "replicas", default=1))
        return sum(owners.values())

    def _top_owner(self, obj: Object) -> Object | None:
        """A replica set's deployment rather than the replica set."""
        reference = meta.controller_of(obj)
        if reference is None or reference["kind"] not in self.scaled:
            return None
        owner = self.scaled[reference["kind"]].get(meta.namespace_of(obj), reference["name"])
        if owner is None or meta.uid_of(owner) != reference["uid"]:
            return None
        return self._top_owner(owner) or owner

    def _pod_seen(self, pod: Object) -> None:
        self._enqueue(pod)

    def _enqueue(self, *states: Object) -> None:
        for budget in self.budgets.list(meta.namespace_of(states[0])):
            selector = selectors.from_label_selector(budget["spec"].get("selector"))
            if any(selector.matches(meta.labels(pod)) for pod in states):
                self.enqueue(budget)

    def _enqueue_namespace(self, namespace: str) -> None:
        for budget in self.budgets.list(namespace):
            self.enqueue(budget)
