"""Which pods would have to go from a node so that a more important one fits, and on which node that does
least harm.

Pure, and as kube-scheduler's: all pods of lower priority are taken off a copy of the node; if the pod fits
then, as many as possible are put back, the most important first and those protected by a disruption budget
before the others; who cannot be put back is a victim.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from control_plane.api import meta
from control_plane.client.types import Obj
from control_plane.scheduler.cycle import SKIPPED
from control_plane.scheduler.framework.affinity import selector_of
from control_plane.scheduler.framework.interface import CycleState
from control_plane.scheduler.framework.node_info import NodeInfo
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.framework.profile import Profile
from control_plane.scheduler.framework.status import Status, unresolvable

PREEMPTED = "PreemptionByScheduler"
NO_VICTIMS = unresolvable("No preemption victims found for incoming pod")

Budgets = Callable[[str], Sequence[Obj]]


@dataclass(frozen=True, slots=True)
class Candidate:
    node_name: str
    victims: tuple[PodInfo, ...]  # the most important first
    violations: int  # victims whose disruption budget allows none


def candidate(
    profile: Profile,
    state: CycleState,
    pod: PodInfo,
    node: NodeInfo,
    promised: Sequence[PodInfo],
    budgets: Budgets,
    may_go: Callable[[PodInfo], bool] = lambda _: True,
) -> Candidate | Status:
    """What it would take to make room on this node. `promised`: pods of at least this priority that were
    promised the node; `may_go`: of a pod of lower priority, whether it may be a victim."""
    state, node = profile.copy_state(state), node.copy()
    lower = [other for other in node.pods.values() if other.priority < pod.priority and may_go(other)]
    if not lower:
        return NO_VICTIMS
    for other in lower:
        profile.remove_pod(state, pod, other, node)
    if (status := _fits(profile, state, pod, node, promised)) is not None:
        return status
    lower.sort(key=importance)
    protected, free = _by_budget(lower, budgets)
    victims: list[PodInfo] = []
    violations = 0
    for group, violates in ((protected, True), (free, False)):
        for other in group:
            profile.add_pod(state, pod, other, node)
            if _fits(profile, state, pod, node, promised) is None:
                continue
            profile.remove_pod(state, pod, other, node)
            victims.append(other)
            violations += violates
    if not victims:
        return NO_VICTIMS
    return Candidate(node.name, tuple(sorted(victims, key=importance)), violations)


def _fits(
    profile: Profile, state: CycleState, pod: PodInfo, node: NodeInfo, promised: Sequence[PodInfo]
) -> Status | None:
    """Why not, with those who were promised the node, or without them: affinity may count on them in vain."""
    skipped: set[str] = state[SKIPPED]
    if promised:
        with_state, with_node = profile.copy_state(state), node.copy()
        for other in promised:
            profile.add_pod(with_state, pod, other, with_node)
        if (status := profile.run_filters(with_state, pod, with_node, skipped)) is not None:
            return status
    return profile.run_filters(state, pod, node, skipped)


def best(candidates: Sequence[Candidate]) -> Candidate:
    """Fewest broken budgets; least important first victim; least important together; fewest; youngest;
    first."""
    return min(
        candidates,
        key=lambda each: (
            each.violations,
            each.victims[0].priority,
            sum(victim.priority + 2**31 for victim in each.victims),
            len(each.victims),
            -_earliest_start(each.victims),
        ),
    )


def importance(pod: PodInfo) -> tuple[int, float]:
    """Sorts the most important first: higher priority, then running longer."""
    return (-pod.priority, started_s(pod))


def started_s(pod: PodInfo) -> float:
    """Who has not started yet is the youngest of all."""
    started = meta.parse_time((pod.pod.get("status") or {}).get("startTime"))
    return inf if started is None else started


def is_preempted(pod: PodInfo) -> bool:
    """It is leaving because a scheduler wants its place."""
    conditions = (pod.pod.get("status") or {}).get("conditions") or ()
    return pod.terminating and any(
        each["type"] == "DisruptionTarget" and each["status"] == "True" and each.get("reason") == PREEMPTED
        for each in conditions
    )


def _earliest_start(victims: Sequence[PodInfo]) -> float:
    """Of the victims with the highest priority."""
    return min(started_s(victim) for victim in victims if victim.priority == victims[0].priority)


def _by_budget(pods: Sequence[PodInfo], budgets: Budgets) -> tuple[list[PodInfo], list[PodInfo]]:
    """(those whose eviction would break a budget, the others), counting each budget down as it is used."""
    allowed: dict[str, int] = {}
    protected: list[PodInfo] = []
    free: list[PodInfo] = []
    for pod in pods:
        broken = False
        for budget in budgets(pod.namespace):
            if not _covers(budget, pod):
                continue
            key = meta.uid_of(budget) or meta.key_of(budget)
            left = allowed.setdefault(key, (budget.get("status") or {}).get("disruptionsAllowed") or 0)
            allowed[key] = left - 1
            broken |= left <= 0
        (protected if broken else free).append(pod)
    return protected, free


def _covers(budget: Obj, pod: PodInfo) -> bool:
    selector: Mapping[str, object] | None = (budget.get("spec") or {}).get("selector")
    if selector is None or not pod.labels:
        return False
    disrupted = (budget.get("status") or {}).get("disruptedPods") or {}
    return pod.name not in disrupted and selector_of(selector).matches(pod.labels)
