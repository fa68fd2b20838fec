"""A pod that extenders have a say about: what they are asked before the cycle that decides, and in which order.

    filters -> extenders' filter -> extenders' scores -> the cycle, among the nodes left
        \\-> no node -> candidates for preemption -> extenders' preempt -> the post filters, with those left

Asking takes time in which the cluster changes. The cycle checks the nodes again, and preemption that its victims
are still there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from control_plane.scheduler.cache import Cache
from control_plane.scheduler.cycle import EXTENDERS, Scheduling
from control_plane.scheduler.extenders import Advice, Extenders
from control_plane.scheduler.framework.fit_error import Diagnosis, FitError
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.framework.profile import Profile
from control_plane.scheduler.framework.status import unresolvable, unschedulable
from control_plane.scheduler.plugins.default_preemption import DefaultPreemption
from control_plane.scheduler.preemption import Candidate

Reviewed = Mapping[str, list[Candidate]]  # by the plugin that proposed them


@dataclass(frozen=True, slots=True)
class Consulted:
    """Either nodes with scores to add, or why there are none and what preemption may do about it."""

    among: frozenset[str] = frozenset()
    scores: Mapping[str, int] = field(default_factory=dict)
    refusal: FitError | None = None
    reviewed: Reviewed | None = None


@dataclass(slots=True)
class Consultation:
    cache: Cache
    algorithm: Scheduling
    extenders: Extenders

    async def about(self, profile: Profile, pod: PodInfo) -> Consulted:
        """Raises PluginError, ExtenderError."""
        try:
            names = self.algorithm.feasible(profile, pod)
        except FitError as failure:
            return Consulted(refusal=failure, reviewed=await self._review(profile, pod, failure))
        nodes = {name: node for name in names if (node := self.cache.get(name)) is not None}
        advice = await self.extenders.advise(pod, nodes)
        if advice.names:
            return Consulted(frozenset(advice.names), advice.scores)
        refusal = FitError(len(nodes), _refused(advice))
        return Consulted(refusal=refusal, reviewed=await self._review(profile, pod, refusal))

    async def _review(self, profile: Profile, pod: PodInfo, failure: FitError) -> Reviewed | None:
        if not failure.all_nodes or not self.extenders.reviewers(pod):
            return None
        state = self.algorithm.state_for(profile, pod)
        statuses = failure.diagnosis.statuses
        reviewed: dict[str, list[Candidate]] = {}
        for plugin in profile.post_filters:
            if isinstance(plugin, DefaultPreemption):
                found, _ = plugin.candidates(state, pod, statuses)
                if found:
                    reviewed[plugin.name] = await self.extenders.review(pod, found)
        return reviewed


def _refused(advice: Advice) -> Diagnosis:
    diagnosis = Diagnosis()
    for name, reason in advice.failed.items():
        diagnosis.add(name, unschedulable(reason).by(EXTENDERS))
    for name, reason in advice.unresolvable.items():
        diagnosis.add(name, unresolvable(reason).by(EXTENDERS))
    return diagnosis
