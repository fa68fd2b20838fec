"""The daemonset loop.

A pod is bound to its node by a node affinity on `metadata.name`, so that the scheduler places it; revisions of the
template are kept as ControllerRevisions, and a pod says by its `controller-revision-hash` which it has.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

from control_plane.api import meta, selectors
from control_plane.api.errors import StatusError, is_already_exists
from control_plane.api.meta import Object
from control_plane.client.gvr import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS
from control_plane.controllers import node_fit, ownership, pods, revisions
from control_plane.controllers.context import NORMAL, WARNING, Context
from control_plane.controllers.controller import Controller, named
from control_plane.controllers.daemonset.patience import Patience
from control_plane.controllers.daemonset.plan import Plan, plan
from control_plane.controllers.daemonset.status import status
from control_plane.controllers.daemonset.update import HASH_LABEL, min_ready_s, target_node
from control_plane.controllers.expectations import LOOK_AGAIN_S
from control_plane.controllers.pod_control import PodControl


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
        self.patience = Patience()
        ownership.index_by_owner(self.pods)
        ownership.index_by_owner(self.revisions)
        self.reconcile_each(self.daemon_sets)
        self.daemon_sets.add_handler(on_delete=lambda gone: self.patience.forget(meta.uid_of(gone)))
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
        fresh, wait_s = self.expectations.satisfied(key, owned), None
        if fresh:
            planned = plan(daemon_set, nodes, owned, digest, now)
            wait_s = self._end(daemon_set, planned, now)
            await self._carry_out(key, daemon_set, planned, digest)
        wanted = status(daemon_set, nodes, owned, digest, now)
        if wanted != (daemon_set.get("status") or {}):
            await self.client.update(DAEMON_SETS, {**daemon_set, "status": wanted}, "status")
        if not fresh:
            return LOOK_AGAIN_S
        waits = (wait_s, pods.available_in_s(owned, min_ready_s(daemon_set), now))
        return min((each for each in waits if each is not None), default=None)

    def _end(self, daemon_set: Object, planned: Plan, now: float) -> float | None:
        """Delete pods that have ended; those of nodes that were tried lately later: in how many seconds."""
        waits = []
        for pod in planned.ended:
            node = target_node(pod)
            failed = meta.nested(pod, "status", "phase") == "Failed"
            left_s = self.patience.left_s((meta.uid_of(daemon_set), node), now) if failed else 0.0
            if left_s > 0:
                waits.append(left_s)
                continue
            planned.delete.append(pod)
            if failed:
                text = f"Found failed daemon pod {meta.key_of(pod)} on node {node}, will try to kill it"
                self.record(daemon_set, WARNING, "FailedDaemonPod", text)
            else:
                text = f"Found succeeded daemon pod {meta.key_of(pod)} on node {node}, will try to delete it"
                self.record(daemon_set, NORMAL, "SucceededDaemonPod", text)
        return min(waits, default=None)

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
