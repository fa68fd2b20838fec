"""When nothing fits: makes room for a pod by removing less important ones from the node where that does
least harm.

DefaultPreemptionArgs: minCandidateNodesPercentage (10), minCandidateNodesAbsolute (100).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.scheduler import preemption
from control_plane.scheduler.framework.fit_error import Diagnosis, FitError
from control_plane.scheduler.framework.interface import CycleState, Handle, PostFilterPlugin, PostFilterResult
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.framework.status import Code, Status, unresolvable, unschedulable
from control_plane.scheduler.preemption import Candidate

NOT_HELPFUL = unresolvable("Preemption is not helpful for scheduling")
NEVER = "not eligible due to preemptionPolicy=Never."
WAITING = "not eligible due to a terminating pod on the nominated node."
NONE_LEFT = unschedulable("preemption: no candidate node for preemption")
REVIEWED = "reviewed candidates"  # in the state: by plugin, those that extenders have left
MIN_CANDIDATES_PERCENTAGE = 10
MIN_CANDIDATES = 100


class DefaultPreemption(PostFilterPlugin):
    name = "DefaultPreemption"

    def __init__(self, handle: Handle, args: Mapping[str, Any]) -> None:
        super().__init__(handle, args)
        self._percentage = int(args.get("minCandidateNodesPercentage", MIN_CANDIDATES_PERCENTAGE))
        self._absolute = int(args.get("minCandidateNodesAbsolute", MIN_CANDIDATES))

    def post_filter(
        self, state: CycleState, pod: PodInfo, statuses: Mapping[str, Status]
    ) -> tuple[PostFilterResult | None, Status]:
        reviewed: list[Candidate] | None = state.get(REVIEWED, {}).get(self.name)
        if reviewed is None:
            found, status = self.candidates(state, pod, statuses)
        else:
            found, status = [each for each in reviewed if self._is_true(each)], NONE_LEFT
        if not found:
            return None, status
        chosen = preemption.best(found)
        self.handle.preempt(pod, chosen.node_name, chosen.victims)
        for other in self.handle.nominator.on(chosen.node_name):
            if other.priority < self._claims(pod).priority:
                self.handle.nominator.forget(other.uid)
        return PostFilterResult(chosen.node_name), Status(Code.SUCCESS)

    def candidates(
        self, state: CycleState, pod: PodInfo, statuses: Mapping[str, Status]
    ) -> tuple[list[Candidate], Status]:
        """What could be done, or why nothing can."""
        pod = self._claims(pod)
        if why := self._ineligible(pod, statuses):
            return [], unschedulable(f"preemption: {why}")
        found, failed = self._candidates(state, pod, statuses)
        error = FitError(len(self.handle.nodes.all()), Diagnosis(statuses=failed))
        return found, Status(Code.SUCCESS) if found else unschedulable(f"preemption: {error}")

    def _is_true(self, reviewed: Candidate) -> bool:
        """Its victims are still there: reviewing takes time."""
        node = self.handle.nodes.get(reviewed.node_name)
        return node is not None and all(victim.uid in node.pods for victim in reviewed.victims)

    def _claims(self, pod: PodInfo) -> PodInfo:
        """The pod with the priority at which it takes others' places."""
        return pod

    def _may_go(self, victim: PodInfo) -> bool:
        return True

    def _ineligible(self, pod: PodInfo, statuses: Mapping[str, Status]) -> str:
        if (pod.pod.get("spec") or {}).get("preemptionPolicy") == "Never":
            return NEVER
        nominated = self.handle.nominator.node_of(pod.uid) or pod.nominated_node
        node = self.handle.nodes.get(nominated) if nominated else None
        if node is None:
            return ""
        rejected = statuses.get(nominated)
        if rejected is not None and rejected.code is Code.UNSCHEDULABLE_AND_UNRESOLVABLE:
            return ""
        lower = (other for other in node.pods.values() if other.priority < pod.priority)
        return (
            WAITING if any(self._may_go(other) and preemption.is_preempted(other) for other in lower) else ""
        )

    def _candidates(
        self, state: CycleState, pod: PodInfo, statuses: Mapping[str, Status]
    ) -> tuple[list[Candidate], dict[str, Status]]:
        nodes = self.handle.nodes.all()
        failed: dict[str, Status] = {}
        potential = []
        for node in nodes:
            status = statuses.get(node.name)
            if status is not None and status.code is Code.UNSCHEDULABLE:
                potential.append(node)
            else:
                failed[node.name] = NOT_HELPFUL
        wanted = min(max(len(potential) * self._percentage // 100, self._absolute), len(potential))
        start = int(self.handle.random() * len(potential))
        profile = self.handle.profile_of(pod)
        found: list[Candidate] = []
        for node in [*potential[start:], *potential[:start]]:
            promised = [
                p
                for p in self.handle.nominator.on(node.name)
                if p.priority >= pod.priority and p.uid != pod.uid
            ]
            outcome = preemption.candidate(
                profile, state, pod, node, promised, self.handle.disruption_budgets, self._may_go
            )
            if isinstance(outcome, Status):
                failed[node.name] = outcome
                continue
            found.append(outcome)
            if len(found) >= wanted and any(not each.violations for each in found):
                break
        return found, failed
