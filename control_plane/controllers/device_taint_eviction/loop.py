"""device-taint-eviction: deletes pods that use a device with a NoExecute taint which their claim does not
tolerate, or no longer does. The taint is the driver's or a DeviceTaintRule's, whose condition says how far it is.

Keys are pods (`namespace/name`) and rules (`name`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from control_plane.api import meta
from control_plane.api.device_taints import DeviceId, selects
from control_plane.api.errors import StatusError, is_conflict, is_not_found
from control_plane.api.meta import Object
from control_plane.client.gvr import DEVICE_TAINT_RULES, PODS, RESOURCE_CLAIMS, RESOURCE_SLICES
from control_plane.controllers import pods
from control_plane.controllers.context import NORMAL, Context
from control_plane.controllers.controller import Controller, named
from control_plane.controllers.device_taint_eviction import plan
from control_plane.controllers.device_taint_eviction.plan import STATUS_PERIOD_S, Counts, Eviction, Source
from control_plane.controllers.eviction import evict
from control_plane.controllers.resourceclaim import plan as resource_claims
from control_plane.controllers.taint_eviction import NO_EXECUTE


class DeviceTaintEvictionController(Controller):
    name = "device-taint-eviction"
    account = "device-taint-eviction-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.pods = self.informer(PODS)
        self.claims = self.informer(RESOURCE_CLAIMS)
        self.slices = self.informer(RESOURCE_SLICES)
        self.rules = self.informer(DEVICE_TAINT_RULES, optional=True)
        self._evicted: Counter[str] = Counter()  # pods, by the uid of a rule that there is
        self._leaving: set[str] = set()  # uids of pods: what the informer shows may be older
        self.pods.add_index("resource claim", lambda pod: list(resource_claims.used(pod)))
        self.claims.add_index(
            "device", lambda claim: ["/".join(plan.device_of(each)) for each in plan.results(claim)]
        )
        self.slices.add_index(
            "pool", lambda each: [f"{each['spec']['driver']}/{each['spec']['pool']['name']}"]
        )
        self.rules.add_handler(self._rule_changed, self._rule_updated, self._rule_gone)
        self.claims.add_handler(on_add=self._claim_changed, on_update=lambda _, new: self._claim_changed(new))
        self.slices.add_handler(on_add=self._slice_changed, on_update=lambda _, new: self._slice_changed(new))
        self.pods.add_handler(self._pod_seen, lambda _, new: self._pod_seen(new), self._pod_gone)

    async def reconcile(self, key: str) -> float | None:
        if "/" not in key:
            return await self._report(key)
        pod = named(self.pods, key)
        if pod is None or not _runs(pod) or meta.uid_of(pod) in self._leaving:
            return None
        now = self.context.now()
        due = self._eviction(pod, self.rules.list(), now)
        if due is None:
            return None
        for rule in self._named(due.rules):
            self.queue.add_after(meta.name_of(rule), STATUS_PERIOD_S)
        if due.at > now:
            return due.at - now
        self.record(pod, NORMAL, "DeviceTaintManagerEviction", "Marking for deletion")
        reason = ("DeletionByDeviceTaintManager", "Device Taint manager: deleting due to NoExecute taint")
        await evict(self.client, pod, *reason, now)
        self._leaving.add(meta.uid_of(pod))
        self._evicted.update(meta.uid_of(rule) for rule in self._named(due.rules))
        return None

    # ---- a pod

    def _eviction(self, pod: Object, rules: Sequence[Object], now: float) -> Eviction | None:
        return plan.eviction(self._claims_of(pod), lambda device: self._taints(device, rules), now)

    def _claims_of(self, pod: Object) -> list[Object]:
        found = (named(self.claims, key) for key in resource_claims.used(pod))
        uid = meta.uid_of(pod)
        return [
            claim
            for claim in found
            if claim is not None and any(each["uid"] == uid for each in resource_claims.reserved_for(claim))
        ]

    def _taints(self, device: DeviceId, rules: Sequence[Object]) -> list[Source]:
        """A device that is not published (any more) has only those of rules."""
        published = [
            Source(taint)
            for each in self._current("/".join(device[:2]))
            for name, found in plan.devices(each)
            if name == device
            for taint in found.get("taints") or ()
        ]
        return [*published, *plan.rule_taints(rules, device)]

    def _current(self, pool: str) -> list[Object]:
        """Its slices of the newest generation."""
        slices = self.slices.by_index("pool", pool)
        newest = max((each["spec"]["pool"]["generation"] for each in slices), default=0)
        return [each for each in slices if each["spec"]["pool"]["generation"] == newest]

    # ---- a rule

    async def _report(self, name: str) -> float | None:
        rule = self.rules.get("", name)
        if rule is None:
            return None
        now = self.context.now()
        wait = plan.wait_s(rule, now)
        if wait is None or wait > 0:
            return wait
        counts = self._count(rule, now)
        condition = plan.condition(rule, counts, now)
        if condition is not None:
            patch = {"metadata": {"uid": meta.uid_of(rule)}, "status": {"conditions": [condition]}}
            try:
                await self.client.patch(DEVICE_TAINT_RULES, name, patch, "", "strategic", "status")
            except StatusError as error:
                if not (is_not_found(error) or is_conflict(error)):  # it is gone, or another one
                    raise
        evicts = rule["spec"]["taint"]["effect"] == NO_EXECUTE
        return STATUS_PERIOD_S if counts.pods and evicts else None

    def _count(self, rule: Object, now: float) -> Counts:
        evicted, effect = self._evicted[meta.uid_of(rule)], rule["spec"]["taint"]["effect"]
        if effect not in (NO_EXECUTE, plan.NO_EFFECT):
            return Counts(evicted=evicted)
        rules = [plan.as_if_evicting(rule)]
        waiting = [
            pod
            for pod in self.pods.list()
            if _runs(pod) and (due := self._eviction(pod, rules, now)) is not None and due.rules
        ]
        return Counts(
            len(waiting),
            len({meta.namespace_of(pod) for pod in waiting}),
            evicted,
            _selected(rule, (device for each in self._published() for device, _ in plan.devices(each))),
            _selected(
                rule, (plan.device_of(one) for each in self.claims.list() for one in plan.results(each))
            ),
        )

    def _published(self) -> list[Object]:
        pools = {f"{each['spec']['driver']}/{each['spec']['pool']['name']}" for each in self.slices.list()}
        return [each for pool in pools for each in self._current(pool)]

    def _named(self, uids: Iterable[str]) -> list[Object]:
        return [rule for rule in self.rules.list() if meta.uid_of(rule) in uids]

    # ---- what happens

    def _rule_changed(self, rule: Object) -> None:
        self.enqueue(rule)
        for claim in self.claims.list():
            if any(selects(rule, plan.device_of(each)) for each in plan.results(claim)):
                self._claim_changed(claim)

    def _rule_updated(self, old: Object, new: Object) -> None:
        if old["spec"] != new["spec"]:
            self._rule_changed(new)

    def _rule_gone(self, rule: Object) -> None:
        del self._evicted[meta.uid_of(rule)]

    def _pod_seen(self, pod: Object) -> None:
        if any(resource_claims.used(pod)):
            self.enqueue(pod)

    def _pod_gone(self, pod: Object) -> None:
        self._leaving.discard(meta.uid_of(pod))

    def _claim_changed(self, claim: Object) -> None:
        for pod in self.pods.by_index("resource claim", meta.key_of(claim)):
            self.enqueue(pod)

    def _slice_changed(self, slice_: Object) -> None:
        for device, found in plan.devices(slice_):
            if any(taint.get("effect") == NO_EXECUTE for taint in found.get("taints") or ()):
                for claim in self.claims.by_index("device", "/".join(device)):
                    self._claim_changed(claim)


def _runs(pod: Object) -> bool:
    if meta.is_deleting(pod) or pods.is_finished(pod):
        return False
    return bool(meta.nested(pod, "spec", "nodeName"))


def _selected(rule: Object, found: Iterable[DeviceId]) -> int:
    return sum(selects(rule, device) for device in found)
