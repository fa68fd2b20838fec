"""One profile: the plugins of one scheduler name, by extension point, and how each point is run.

A plugin named for a profile takes part in every point that it implements, unless the profile disables it
there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from control_plane.scheduler.feasibility import LocalPlugins, Tables
from control_plane.scheduler.framework.events import Interest
from control_plane.scheduler.framework.interface import (
    BindPlugin,
    CycleState,
    FilterPlugin,
    PermitPlugin,
    Plugin,
    PostBindPlugin,
    PostFilterPlugin,
    PostFilterResult,
    PreBindPlugin,
    PreEnqueuePlugin,
    PreFilterPlugin,
    QueueSortPlugin,
    ReservePlugin,
    ScorePlugin,
)
from control_plane.scheduler.framework.node_info import NodeInfo
from control_plane.scheduler.framework.pod_info import PodInfo, pod_info
from control_plane.scheduler.framework.status import Code, Status, error

POINTS: dict[str, type[Plugin]] = {
    "preEnqueue": PreEnqueuePlugin,
    "queueSort": QueueSortPlugin,
    "preFilter": PreFilterPlugin,
    "filter": FilterPlugin,
    "postFilter": PostFilterPlugin,
    "preScore": ScorePlugin,
    "score": ScorePlugin,
    "reserve": ReservePlugin,
    "permit": PermitPlugin,
    "preBind": PreBindPlugin,
    "bind": BindPlugin,
    "postBind": PostBindPlugin,
}


class Profile:
    def __init__(
        self,
        scheduler_name: str,
        plugins: Mapping[str, Sequence[Plugin]],
        weights: Mapping[str, int],
        percentage_of_nodes_to_score: int = 0,
    ) -> None:
        """`plugins` by the names of POINTS, each in its order. Raises ValueError when a needed one is
        missing."""
        at = partial(_checked, plugins)
        self.scheduler_name = scheduler_name
        self.percentage_of_nodes_to_score = percentage_of_nodes_to_score
        self.pre_enqueue = [p for p in at("preEnqueue") if isinstance(p, PreEnqueuePlugin)]
        self.pre_filters = [p for p in at("preFilter") if isinstance(p, PreFilterPlugin)]
        self.filters = [p for p in at("filter") if isinstance(p, FilterPlugin)]
        self.post_filters = [p for p in at("postFilter") if isinstance(p, PostFilterPlugin)]
        self.scores = [(p, weights.get(p.name) or 1) for p in at("score") if isinstance(p, ScorePlugin)]
        self.reserves = [p for p in at("reserve") if isinstance(p, ReservePlugin)]
        self.permits = [p for p in at("permit") if isinstance(p, PermitPlugin)]
        self.pre_binds = [p for p in at("preBind") if isinstance(p, PreBindPlugin)]
        self.binds = [p for p in at("bind") if isinstance(p, BindPlugin)]
        self.post_binds = [p for p in at("postBind") if isinstance(p, PostBindPlugin)]
        sorts = [p for p in at("queueSort") if isinstance(p, QueueSortPlugin)]
        if len(sorts) != 1:
            raise ValueError(f"profile {scheduler_name}: exactly one queue sort plugin is needed")
        if not self.binds:
            raise ValueError(f"profile {scheduler_name}: at least one bind plugin is needed")
        self.queue_sort = sorts[0]
        local = LocalPlugins.of(self.filters, self.scores, pod_info(_PROBE))
        self.tables = Tables(scheduler_name, local)
        local_scores = {plugin.name for plugin, _ in (*local.flat, *local.normalized)}
        self.local_filters = local.filters
        self.other_filters = self.filters[len(local.filters) :]
        self.other_scores = [each for each in self.scores if each[0].name not in local_scores]

    def interests(self) -> dict[str, Sequence[Interest]]:
        """By plugin, of those that can reject a pod."""
        rejecting: list[Plugin] = [
            *self.pre_enqueue,
            *self.pre_filters,
            *self.filters,
            *self.reserves,
            *self.permits,
        ]
        return {plugin.name: plugin.interests() for plugin in rejecting}

    # ---- running a point

    def run_pre_enqueue(self, pod: PodInfo) -> Status | None:
        for plugin in self.pre_enqueue:
            if (status := plugin.pre_enqueue(pod)) is not None:
                return status.by(plugin.name)
        return None

    def run_filters(
        self, state: CycleState, pod: PodInfo, node: NodeInfo, skipped: set[str]
    ) -> Status | None:
        """All of them, without any table: for nodes that are tried out."""
        for plugin in self.filters:
            if plugin.name not in skipped and (status := plugin.filter(state, pod, node)) is not None:
                return status.by(plugin.name)
        return None

    def run_post_filters(
        self, state: CycleState, pod: PodInfo, statuses: Mapping[str, Status]
    ) -> tuple[PostFilterResult | None, Status | None]:
        """The first that finds a way, or that fails, decides; their messages are kept."""
        messages: list[str] = []
        for plugin in self.post_filters:
            result, status = plugin.post_filter(state, pod, statuses)
            if status.code in (Code.SUCCESS, Code.ERROR):
                return result, status.by(plugin.name)
            messages.extend(status.reasons)
        return None, Status(Code.UNSCHEDULABLE, tuple(messages)) if messages else None

    def run_reserve(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        for plugin in self.reserves:
            if (status := plugin.reserve(state, pod, node_name)) is not None:
                return status.by(plugin.name)
        return None

    def run_unreserve(self, state: CycleState, pod: PodInfo, node_name: str) -> None:
        for plugin in reversed(self.reserves):
            plugin.unreserve(state, pod, node_name)

    def run_permit(
        self, state: CycleState, pod: PodInfo, node_name: str
    ) -> tuple[Status | None, dict[str, float]]:
        """A rejection, or the plugins that ask to wait with their limits in seconds."""
        waits: dict[str, float] = {}
        for plugin in self.permits:
            status, timeout_s = plugin.permit(state, pod, node_name)
            if status is None:
                continue
            if status.code is not Code.WAIT:
                return status.by(plugin.name), {}
            waits[plugin.name] = timeout_s
        return None, waits

    def has_pre_bind_work(self, state: CycleState, pod: PodInfo, node_name: str) -> bool:
        return any(plugin.has_work(state, pod, node_name) for plugin in self.pre_binds)

    async def run_pre_bind(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        for plugin in self.pre_binds:
            if (status := await plugin.pre_bind(state, pod, node_name)) is not None:
                return status.by(plugin.name)
        return None

    async def run_bind(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        for plugin in self.binds:
            status = await plugin.bind(state, pod, node_name)
            if status is None or status.code is not Code.SKIP:
                return status.by(plugin.name) if status else None
        return error("no bind plugin took the pod")

    def run_post_bind(self, state: CycleState, pod: PodInfo, node_name: str) -> None:
        for plugin in self.post_binds:
            plugin.post_bind(state, pod, node_name)

    def copy_state(self, state: CycleState) -> CycleState:
        copy = dict(state)
        for plugin in self.pre_filters:
            if plugin.name in copy:
                copy[plugin.name] = plugin.copy_state(copy[plugin.name])
        return copy

    def add_pod(self, state: CycleState, pod: PodInfo, added: PodInfo, node: NodeInfo) -> None:
        """Try it: `added` on the node, in the state as well."""
        node.add_pod(added)
        for plugin in self.pre_filters:
            plugin.add_pod(state, pod, added, node)

    def remove_pod(self, state: CycleState, pod: PodInfo, removed: PodInfo, node: NodeInfo) -> None:
        node.remove_pod(removed.uid)
        for plugin in self.pre_filters:
            plugin.remove_pod(state, pod, removed, node)


_PROBE: dict[str, Any] = {"metadata": {"name": "probe", "namespace": "default", "uid": ""}, "spec": {}}


def _checked(plugins: Mapping[str, Sequence[Plugin]], point: str) -> Sequence[Plugin]:
    """Naming a plugin at a point that it does not implement is a mistake in the profile."""
    for plugin in plugins.get(point, ()):
        if not isinstance(plugin, POINTS[point]):
            raise ValueError(f"plugin {plugin.name} does not implement {point}")
    return plugins.get(point, ())
