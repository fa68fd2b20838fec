"""The autoscaler loop: looks at each target every 15 seconds, not when something changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from control_plane.api import meta, selectors
from control_plane.api.errors import StatusError
from control_plane.api.meta import Object
from control_plane.client.gvr import GVR, HORIZONTAL_POD_AUTOSCALERS, PODS
from control_plane.controllers.context import NORMAL, WARNING, Context
from control_plane.controllers.controller import Controller, named
from control_plane.controllers.discovery import Served, served_resources
from control_plane.controllers.podautoscaler import behavior, conditions
from control_plane.controllers.podautoscaler.behavior import History, Limited
from control_plane.controllers.podautoscaler.metrics import Found, Target, evaluate
from control_plane.controllers.podautoscaler.samples import MetricError
from control_plane.controllers.podautoscaler.sources import MetricSources

KINDS_MAX_AGE_S = 60.0


@dataclass(slots=True)
class Decision:
    """What one look leads to."""

    desired: int
    conditions: list[Object]
    metrics: list[Object] = field(default_factory=list)
    reason: str = ""  # of a new size


class HorizontalPodAutoscalerController(Controller):
    name = "horizontalpodautoscaler"
    source = "horizontal-pod-autoscaler"
    account = "horizontal-pod-autoscaler"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.autoscalers = self.informer(HORIZONTAL_POD_AUTOSCALERS)
        self.pods = self.informer(PODS)
        self.sources = MetricSources(self.client)
        self._histories: dict[str, History] = {}
        self._served: list[Served] = []
        self._served_at = 0.0
        self.autoscalers.add_handler(on_add=self.enqueue, on_update=self._changed, on_delete=self._forget)

    def _changed(self, old: Object, new: Object) -> None:
        """Our own status is no reason to look again."""
        if old.get("spec") != new.get("spec"):
            self.enqueue(new)

    def _forget(self, autoscaler: Object) -> None:
        self._histories.pop(meta.uid_of(autoscaler), None)

    async def reconcile(self, key: str) -> float | None:
        autoscaler = named(self.autoscalers, key)
        if autoscaler is None or meta.is_deleting(autoscaler):
            return None
        now = self.context.now()
        old = list(meta.nested(autoscaler, "status", "conditions", default=()))
        period_s = self.context.options.autoscaler_sync_period_s
        try:
            gvr, scale = await self._scale_of(autoscaler)
        except (StatusError, MetricError) as error:
            text = f"the HPA controller was unable to get the target's current scale: {error}"
            self.record(autoscaler, WARNING, "FailedGetScale", str(error))
            said = conditions.put(old, "AbleToScale", False, "FailedGetScale", text, now)
            await self._write(autoscaler, {**(autoscaler.get("status") or {}), "conditions": said})
            return period_s
        text = "the HPA controller was able to get the target's current scale"
        old = conditions.put(old, "AbleToScale", True, "SucceededGetScale", text, now)
        decision = await self._decide(autoscaler, scale, old, now)
        await self._carry_out(autoscaler, gvr, scale, decision, now)
        return period_s

    # ---- what is scaled

    async def _scale_of(self, autoscaler: Object) -> tuple[GVR, Object]:
        reference = autoscaler["spec"]["scaleTargetRef"]
        served = await self._find(reference.get("apiVersion", "v1"), reference["kind"])
        if served is None:
            text = f'no matches for kind "{reference["kind"]}" in group "{reference.get("apiVersion", "")}"'
            raise MetricError("FailedGetScale", text)
        namespace = meta.namespace_of(autoscaler)
        return served.gvr, await self.client.get(
            served.gvr, reference["name"], namespace, subresource="scale"
        )

    async def _find(self, api_version: str, kind: str) -> Served | None:
        group, _ = meta.group_version(api_version)
        if not self._served or self.context.now() - self._served_at > KINDS_MAX_AGE_S:
            self._served = await served_resources(self.client)
            self._served_at = self.context.now()
        return next((each for each in self._served if (each.gvr.group, each.kind) == (group, kind)), None)

    async def _resource_name(self, api_version: str, kind: str) -> str:
        served = await self._find(api_version, kind)
        if served is None:
            raise MetricError("FailedGetObjectMetric", f'no matches for kind "{kind}" in "{api_version}"')
        return str(served.gvr)

    # ---- how many

    async def _decide(self, autoscaler: Object, scale: Object, said: list[Object], now: float) -> Decision:
        current = int(meta.nested(scale, "spec", "replicas", default=0))
        lowest, highest = behavior.bounds(autoscaler)
        if current == 0 and lowest != 0:
            text = "scaling is disabled since the replica count of the target is zero"
            return Decision(0, conditions.put(said, "ScalingActive", False, "ScalingDisabled", text, now))
        if current > highest:
            return Decision(highest, said, reason="Current number of replicas above Spec.MaxReplicas")
        if current < lowest:
            return Decision(lowest, said, reason="Current number of replicas below Spec.MinReplicas")
        return await self._measure(autoscaler, scale, current, said, now)

    async def _measure(
        self, autoscaler: Object, scale: Object, current: int, said: list[Object], now: float
    ) -> Decision:
        target = self._target(autoscaler, scale, current, now)
        found: list[Found] = []
        failures: list[MetricError] = []
        for metric in autoscaler["spec"].get("metrics") or ():
            try:
                found.append(await evaluate(metric, target, self.sources, self._resource_name))
            except MetricError as error:
                failures.append(error)
                self.record(autoscaler, WARNING, error.reason, str(error))
        best = max(found, key=lambda each: each.replicas, default=None)
        shown = [each.status for each in found]
        if best is None or (failures and best.replicas < current):
            first = failures[0] if failures else MetricError("NoMetrics", "no metrics are given")
            text = f"the HPA was unable to compute the replica count: {first}"
            return Decision(
                current, conditions.put(said, "ScalingActive", False, first.reason, text, now), shown
            )
        text = f"the HPA was able to successfully calculate a replica count from {best.name}"
        said = conditions.put(said, "ScalingActive", True, "ValidMetricFound", text, now)
        history = self._histories.setdefault(meta.uid_of(autoscaler), History())
        limited = behavior.limit(autoscaler, current, best.replicas, history, now)
        said = _say_limits(said, limited, now)
        above = limited.replicas > current
        reason = f"{best.name} above target" if above else "All metrics below target"
        return Decision(limited.replicas, said, shown, reason)

    def _target(self, autoscaler: Object, scale: Object, current: int, now: float) -> Target:
        namespace = meta.namespace_of(autoscaler)
        selector = meta.nested(scale, "status", "selector", default="")
        matching = selectors.parse_labels(selector)
        pods = [pod for pod in self.pods.list(namespace) if selector and matching.matches(meta.labels(pod))]
        there = int(meta.nested(scale, "status", "replicas", default=0))
        return Target(namespace, current, there, selector, pods, behavior.tolerances(autoscaler), now)

    # ---- writes

    async def _carry_out(
        self, autoscaler: Object, gvr: GVR, scale: Object, decision: Decision, now: float
    ) -> None:
        current = int(meta.nested(scale, "spec", "replicas", default=0))
        said = decision.conditions
        if decision.desired != current:
            try:
                wanted = {**scale, "spec": {**scale["spec"], "replicas": decision.desired}}
                await self.client.update(gvr, wanted, "scale")
            except StatusError as error:
                text = f"the HPA controller was unable to update the target scale: {error}"
                said = conditions.put(said, "AbleToScale", False, "FailedUpdateScale", text, now)
                self.record(
                    autoscaler, WARNING, "FailedRescale", f"New size: {decision.desired}; error: {error}"
                )
                await self._write(autoscaler, self._status(autoscaler, scale, decision, said, current, now))
                raise
            text = f"the HPA controller was able to update the target scale to {decision.desired}"
            said = conditions.put(said, "AbleToScale", True, "SucceededRescale", text, now)
            text = f"New size: {decision.desired}; reason: {decision.reason}"
            self.record(autoscaler, NORMAL, "SuccessfulRescale", text)
            history = self._histories.setdefault(meta.uid_of(autoscaler), History())
            history.scaled(current, decision.desired, now)
        await self._write(autoscaler, self._status(autoscaler, scale, decision, said, decision.desired, now))

    def _status(
        self,
        autoscaler: Object,
        scale: Object,
        decision: Decision,
        said: list[Object],
        desired: int,
        now: float,
    ) -> dict[str, Any]:
        old = autoscaler.get("status") or {}
        made: dict[str, Any] = {
            "observedGeneration": meta.metadata(autoscaler).get("generation", 0),
            "currentReplicas": int(meta.nested(scale, "status", "replicas", default=0)),
            "desiredReplicas": desired,
            "currentMetrics": decision.metrics,
            "conditions": said,
            "lastScaleTime": old.get("lastScaleTime"),
        }
        if desired != int(meta.nested(scale, "spec", "replicas", default=0)):
            made["lastScaleTime"] = meta.rfc3339(now)
        return {key: value for key, value in made.items() if value not in (None, [])}

    async def _write(self, autoscaler: Object, status: dict[str, Any]) -> None:
        if status != (autoscaler.get("status") or {}):
            await self.client.update(HORIZONTAL_POD_AUTOSCALERS, {**autoscaler, "status": status}, "status")


def _say_limits(said: list[Object], limited: Limited, now: float) -> list[Object]:
    able = ("ReadyForNewScale", "recommended size matches current size")
    if limited.stabilized:
        side, end = (
            ("higher", "highest") if limited.stabilized == "ScaleDownStabilized" else ("lower", "lowest")
        )
        text = (
            f"recent recommendations were {side} than current one, applying the {end} recent recommendation"
        )
        able = (limited.stabilized, text)
    said = conditions.put(said, "AbleToScale", True, *able, now)
    reason = limited.reason or "DesiredWithinRange"
    return conditions.put(said, "ScalingLimited", bool(limited.reason), reason, limited.message, now)
