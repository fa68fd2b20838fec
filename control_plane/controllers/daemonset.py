"""daemonset: one pod on every node that should have one, of the newest template as the update strategy allows.

A pod is bound to its node by a node affinity on `metadata.name`, so that the scheduler places it; revisions of the
template are kept as ControllerRevisions, and a pod says by its `controller-revision-hash` which it has.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from control_plane.api import meta, selectors
from control_plane.api.errors import StatusError, is_already_exists
from control_plane.api.meta import Object
from control_plane.client.gvr import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS
from control_plane.controllers import node_fit, ownership, pods, revisions
from control_plane.controllers.context import WARNING, Context
from control_plane.controllers.controller import Controller, named
from control_plane.controllers.deployment.rolling import resolve
from control_plane.controllers.expectations import LOOK_AGAIN_S
from control_plane.controllers.pod_control import PodControl

HASH_LABEL = revisions.HASH_LABEL


@dataclass(slots=True)
class Plan:
    create: list[str] = field(default_factory=list)  # nodes
    delete: list[Object] = field(default_factory=list)  # pods
    failed: list[Object] = field(
        default_factory=list
    )  # of these, the pods that are replaced because they failed


def by_node(owned: Sequence[Object]) -> dict[str, list[Object]]:
    """Pods by the node they are on, or are meant for."""
    nodes: dict[str, list[Object]] = {}
    for pod in owned:
        if target := target_node(pod):
            nodes.setdefault(target, []).append(pod)
    return nodes


def target_node(pod: Object) -> str:
    """The node of a pod that is not scheduled yet is in its affinity."""
    bound: str = meta.nested(pod, "spec", "nodeName", default="")
    required = meta.nested(
        pod, "spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", default={}
    )
    for term in required.get("nodeSelectorTerms") or ():
        for each in term.get("matchFields") or ():
            if (
                each["key"] == "metadata.name"
                and each["operator"] == "In"
                and len(each.get("values") or ()) == 1
            ):
                return bound or str(each["values"][0])
    return bound


def plan(daemon_set: Object, nodes: Sequence[Object], owned: Sequence[Object], digest: str) -> Plan:
    """What to make and remove now. `digest`: of the newest revision."""
    placed = by_node(owned)
    planned = Plan()
    for node in nodes:
        _plan_node(planned, daemon_set, node, placed.pop(meta.name_of(node), []))
    planned.delete += [pod for left in placed.values() for pod in left if not meta.is_deleting(pod)]
    if meta.nested(daemon_set, "spec", "updateStrategy", "type", default="RollingUpdate") == "RollingUpdate":
        _plan_update(planned, daemon_set, nodes, by_node(owned), digest)
    return planned


def _plan_node(planned: Plan, daemon_set: Object, node: Object, on_node: Sequence[Object]) -> None:
    should_run, may_stay = node_fit.should_run(daemon_set["spec"]["template"], node)
    present = [pod for pod in on_node if not meta.is_deleting(pod)]
    if not may_stay:
        planned.delete += present
        return
    failed = [pod for pod in present if pods.is_finished(pod)]
    planned.delete += failed
    planned.failed += failed
    running = [pod for pod in present if pod not in failed]
    if should_run and not on_node:
        planned.create.append(meta.name_of(node))
    elif len(running) > 1 and not _surges(daemon_set):
        planned.delete += sorted(running, key=_keep_first)[1:]


def _keep_first(pod: Object) -> tuple[bool, str]:
    return not pods.is_ready(pod), str(meta.metadata(pod).get("creationTimestamp", ""))


def _surges(daemon_set: Object) -> bool:
    rolling = meta.nested(daemon_set, "spec", "updateStrategy", "rollingUpdate", default={})
    return rolling.get("maxSurge") not in (None, 0, "0", "0%")


@dataclass(frozen=True, slots=True)
class _Place:
    """A node that should run a daemon, with its pod of an old revision and of the newest."""

    node: str
    old: Object | None
    new: Object | None


def _plan_update(
    planned: Plan,
    daemon_set: Object,
    nodes: Sequence[Object],
    placed: Mapping[str, Sequence[Object]],
    digest: str,
) -> None:
    """Replace old pods, at most maxUnavailable nodes at a time; with maxSurge the new pod comes before the old one
    goes."""
    leaving = {meta.uid_of(pod) for pod in planned.delete}
    places = [
        _place(meta.name_of(node), placed.get(meta.name_of(node), ()), leaving, digest)
        for node in nodes
        if node_fit.should_run(daemon_set["spec"]["template"], node)[0]
    ]
    rolling = meta.nested(daemon_set, "spec", "updateStrategy", "rollingUpdate", default={})
    if _surges(daemon_set):
        _surge(planned, places, resolve(rolling["maxSurge"], len(places), up=True))
    else:
        _replace(planned, places, resolve(rolling.get("maxUnavailable", 1), len(places), up=True))


def _place(node: str, on_node: Sequence[Object], leaving: Collection[str], digest: str) -> _Place:
    staying = [pod for pod in on_node if meta.uid_of(pod) not in leaving]
    old = next((pod for pod in staying if not _is_current(pod, digest)), None)
    return _Place(node, old, next((pod for pod in staying if _is_current(pod, digest)), None))


def _replace(planned: Plan, places: Sequence[_Place], max_unavailable: int) -> None:
    room, candidates = max_unavailable, []
    for place in places:
        if place.old is None or meta.is_deleting(place.old) or place.new is not None:
            room -= not (place.new is not None and pods.is_ready(place.new))
        elif pods.is_ready(place.old):
            candidates.append(place.old)
        else:
            planned.delete.append(place.old)  # replacing what does not work costs nothing
    planned.delete += candidates[: max(room, 0)]


def _surge(planned: Plan, places: Sequence[_Place], max_surge: int) -> None:
    room, candidates = max_surge, []
    for place in places:
        if place.old is None or meta.is_deleting(place.old):
            continue
        if place.new is None:
            candidates.append(place.node)
        elif pods.is_ready(place.new):
            planned.delete.append(place.old)
        else:
            room -= 1
    planned.create += candidates[: max(room, 0)]


def _is_current(pod: Object, digest: str) -> bool:
    return meta.labels(pod).get(HASH_LABEL) == digest


def status(
    daemon_set: Object, nodes: Sequence[Object], owned: Sequence[Object], digest: str, now: float
) -> dict[str, Any]:
    placed = by_node([pod for pod in owned if not meta.is_deleting(pod)])
    min_ready_s = int(meta.nested(daemon_set, "spec", "minReadySeconds", default=0))
    counts = dict.fromkeys(("desired", "current", "misscheduled", "ready", "available", "updated"), 0)
    for node in nodes:
        on_node = placed.get(meta.name_of(node), [])
        if not node_fit.should_run(daemon_set["spec"]["template"], node)[0]:
            counts["misscheduled"] += bool(on_node)
            continue
        counts["desired"] += 1
        if on_node:
            best = min(on_node, key=_keep_first)
            counts["current"] += 1
            counts["ready"] += pods.is_ready(best)
            counts["available"] += pods.is_available(best, min_ready_s, now)
            counts["updated"] += any(_is_current(pod, digest) for pod in on_node)
    old = daemon_set.get("status") or {}
    kept = {key: old[key] for key in ("collisionCount", "conditions") if key in old}
    optional = {
        "numberAvailable": counts["available"],
        "numberUnavailable": counts["desired"] - counts["available"],
        "updatedNumberScheduled": counts["updated"],
        "observedGeneration": meta.metadata(daemon_set).get("generation", 0),
    }
    return {
        "currentNumberScheduled": counts["current"],
        "desiredNumberScheduled": counts["desired"],
        "numberMisscheduled": counts["misscheduled"],
        "numberReady": counts["ready"],
        **{key: value for key, value in optional.items() if value},
        **kept,
    }


def pod_for(daemon_set: Object, node: str, digest: str) -> Object:
    """A pod that only `node` can take, and that tolerates what a daemon must."""
    pod = pods.from_template(daemon_set["spec"]["template"], daemon_set, f"{meta.name_of(daemon_set)}-")
    meta.set_label(pod, HASH_LABEL, digest)
    spec = pod["spec"]
    spec["affinity"] = _bound_to(copy.deepcopy(spec.get("affinity") or {}), node)
    spec["tolerations"] = node_fit.daemon_tolerations(spec)
    return pod


def _bound_to(affinity: Object, node: str) -> Object:
    field_ = {"key": "metadata.name", "operator": "In", "values": [node]}
    node_affinity = affinity.setdefault("nodeAffinity", {})
    required = node_affinity.setdefault("requiredDuringSchedulingIgnoredDuringExecution", {})
    terms = required.get("nodeSelectorTerms") or [{}]
    required["nodeSelectorTerms"] = [{**term, "matchFields": [field_]} for term in terms]
    return affinity


class DaemonSetController(Controller):
    name = "daemonset"
    account = "daemon-set-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.daemon_sets = self.informer(DAEMON_SETS)
        self.pods = self.informer(PODS)
        self.nodes = self.informer(NODES)
        self.revisions = self.informer(CONTROLLER_REVISIONS)
        self.pod_control = PodControl(self, self.pods)
        self.expectations = self.pod_control.expectations
        ownership.index_by_owner(self.pods)
        ownership.index_by_owner(self.revisions)
        self.reconcile_each(self.daemon_sets)
        self.reconcile_owner(self.pods, "DaemonSet")
        self.nodes.add_handler(
            lambda _: self._enqueue_all(), self._node_changed, lambda _: self._enqueue_all()
        )

    async def reconcile(self, key: str) -> float | None:
        daemon_set = named(self.daemon_sets, key)
        if daemon_set is None:
            self.expectations.forget(key)
            return None
        if meta.is_deleting(daemon_set):
            return None
        nodes = list(self.nodes.list())
        owned = await self._owned(daemon_set)
        digest = await self._revision(daemon_set, owned)
        now = self.context.now()
        fresh = self.expectations.satisfied(key, owned)
        if fresh:
            await self._carry_out(key, daemon_set, plan(daemon_set, nodes, owned, digest), digest)
        wanted = status(daemon_set, nodes, owned, digest, now)
        if wanted != (daemon_set.get("status") or {}):
            await self.client.update(DAEMON_SETS, {**daemon_set, "status": wanted}, "status")
        if not fresh:
            return LOOK_AGAIN_S
        min_ready_s = int(meta.nested(daemon_set, "spec", "minReadySeconds", default=0))
        return pods.available_in_s(owned, min_ready_s, now)

    async def _owned(self, daemon_set: Object) -> list[Object]:
        selector = selectors.from_label_selector(daemon_set["spec"]["selector"])
        candidates = ownership.candidates(self.pods, daemon_set)
        return await ownership.claim(self.client, PODS, DAEMON_SETS, daemon_set, selector, candidates)

    async def _revision(self, daemon_set: Object, owned: Sequence[Object]) -> str:
        """The digest of the newest revision, which is recorded first."""
        history = ownership.children(self.revisions, daemon_set)
        current = revisions.find(daemon_set, history)
        if current is None:
            wanted = revisions.new(daemon_set, history)
            try:
                current = await self.client.create(CONTROLLER_REVISIONS, wanted)
            except StatusError as error:
                if not is_already_exists(error):
                    raise
                current = wanted
        elif current["revision"] < revisions.last(history):
            changed = {**current, "revision": revisions.last(history) + 1}
            current = await self.client.update(CONTROLLER_REVISIONS, changed)
        in_use = {meta.labels(pod).get(HASH_LABEL, "") for pod in owned}
        unused = [each for each in history if revisions.digest_of(each) not in in_use]
        for old in revisions.to_clean_up(daemon_set, unused, current):
            await self.client.delete(
                CONTROLLER_REVISIONS, meta.name_of(old), meta.namespace_of(old), uid=meta.uid_of(old)
            )
        return revisions.digest_of(current)

    async def _carry_out(self, key: str, daemon_set: Object, planned: Plan, digest: str) -> None:
        for pod in planned.failed:
            node = target_node(pod)
            text = f"Found failed daemon pod {meta.key_of(pod)} on node {node}, will try to kill it"
            self.record(daemon_set, WARNING, "FailedDaemonPod", text)
        failure = await self.pod_control.delete_all(key, daemon_set, planned.delete)
        nodes = planned.create
        error = await self.pod_control.create_all(
            key, daemon_set, lambda number: pod_for(daemon_set, nodes[number], digest), len(nodes)
        )
        if first := error or failure:
            raise first

    def _node_changed(self, old: Object, new: Object) -> None:
        if node_fit.placement_facts(old) != node_fit.placement_facts(new):
            self._enqueue_all()

    def _enqueue_all(self) -> None:
        for daemon_set in self.daemon_sets.list():
            self.enqueue(daemon_set)
