"""A scheduling cycle: from a pod and the nodes to the best node, or to the reasons why there is none. Pure.

As kube-scheduler: with many nodes only so many feasible ones are looked for (percentageOfNodesToScore),
starting where the last cycle stopped, so that all nodes get their turn; the best score wins, ties by lot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from control_plane.scheduler.cache import Cache
from control_plane.scheduler.feasibility import Table
from control_plane.scheduler.framework.fit_error import Diagnosis, FitError
from control_plane.scheduler.framework.interface import CycleState, FilterPlugin
from control_plane.scheduler.framework.node_info import NodeInfo
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.framework.profile import Profile
from control_plane.scheduler.framework.status import Code, Status
from control_plane.scheduler.nominator import Nominator

MIN_FEASIBLE_NODES = 100  # fewer nodes than this are all looked at
MIN_PERCENTAGE = 5
BASE_PERCENTAGE = 50  # adaptive: 50 % of small clusters, less by one for every 125 nodes
NODES_PER_PERCENT = 125

SKIPPED = "skipped filters"  # in the state: names of the plugins whose PreFilter said Skip
EXTENDERS = "extenders"
NARROWED = "narrowed by"  # in the state: names of those that named nodes


class PluginError(Exception):
    """A plugin answered with an error: the pod is tried again later."""

    def __init__(self, status: Status) -> None:
        super().__init__(f"running plugin {status.plugin!r}: {status.message}")
        self.status = status


@dataclass(slots=True)
class Placement:
    node_name: str
    state: CycleState
    evaluated: int
    feasible: int
    score: int = 0


@dataclass(slots=True)
class _Search:
    """Positions of the nodes found feasible, and how many were looked at."""

    found: list[int] = field(default_factory=list)
    evaluated: int = 0


class Scheduling:
    """The algorithm with the little it remembers between cycles: where to start."""

    def __init__(self, cache: Cache, nominator: Nominator, choose: Callable[[Sequence[int]], int]) -> None:
        """`choose` draws one of several equally good positions."""
        self._cache = cache
        self._nominator = nominator
        self._choose = choose
        self._start = 0

    def feasible(self, profile: Profile, pod: PodInfo) -> list[str]:
        """The nodes that would do. Raises FitError, or PluginError."""
        nodes = self._cache.all()
        if not nodes:
            raise FitError(0, Diagnosis())
        state: CycleState = {}
        diagnosis = Diagnosis()
        wanted = self._pre_filter(profile, state, pod, diagnosis, len(nodes))
        table = profile.tables.table(pod, self._cache)
        search = self._feasible(profile, state, pod, table, wanted, diagnosis)
        if not search.found:
            raise FitError(len(nodes), diagnosis)
        return [nodes[position].name for position in search.found]

    def place(
        self,
        profile: Profile,
        pod: PodInfo,
        among: frozenset[str] | None = None,
        bonus: Mapping[str, int] | None = None,
    ) -> Placement:
        """`among`: only these nodes; `bonus`: added to their scores. Raises FitError, or PluginError."""
        nodes = self._cache.all()
        if not nodes:
            raise FitError(0, Diagnosis())
        state: CycleState = {}
        diagnosis = Diagnosis()
        wanted = self._pre_filter(profile, state, pod, diagnosis, len(nodes))
        if among is not None:
            wanted = among if wanted is None else wanted & among
        table = profile.tables.table(pod, self._cache)
        limit = len(among) if among is not None else None if profile.scores else 1
        search = self._feasible(profile, state, pod, table, wanted, diagnosis, limit)
        if not search.found:
            raise FitError(len(nodes), diagnosis)
        best, score = 0, 0
        if len(search.found) > 1:
            totals = self._scores(profile, state, pod, table, search)
            if bonus:
                extra = [bonus.get(nodes[position].name, 0) for position in search.found]
                totals = _added(totals, extra, 1)
            score = max(totals)
            ties = [position for position, total in enumerate(totals) if total == score]
            best = ties[0] if len(ties) == 1 else self._choose(ties)
        chosen = nodes[search.found[best]]
        return Placement(chosen.name, state, search.evaluated, len(search.found), score)

    def state_for(self, profile: Profile, pod: PodInfo) -> CycleState:
        """What PreFilter leaves: for trying nodes out after a cycle has failed."""
        state: CycleState = {SKIPPED: set(), NARROWED: []}
        with suppress(FitError):
            self._pre_filter(profile, state, pod, Diagnosis(), len(self._cache.all()))
        return state

    # ---- feasible nodes

    def _pre_filter(
        self, profile: Profile, state: CycleState, pod: PodInfo, diagnosis: Diagnosis, all_nodes: int
    ) -> frozenset[str] | None:
        """The names to look at; None for all. Raises FitError when a plugin rules out everything."""
        skipped: set[str] = set()
        wanted: frozenset[str] | None = None
        narrowed_by: list[str] = []
        for plugin in profile.pre_filters:
            answer = plugin.pre_filter(state, pod)
            if answer is None:
                continue
            if isinstance(answer, frozenset):
                wanted = answer if wanted is None else wanted & answer
                narrowed_by.append(plugin.name)
                if not wanted:
                    self._rule_out(diagnosis, _narrowed(narrowed_by), narrowed_by)
                    raise FitError(all_nodes, diagnosis)
            elif answer.code is Code.SKIP:
                skipped.add(plugin.name)
            elif answer.rejected:
                self._rule_out(diagnosis, answer.message, [plugin.name])
                raise FitError(all_nodes, diagnosis)
            else:
                raise PluginError(answer.by(plugin.name))
        state[SKIPPED], state[NARROWED] = skipped, narrowed_by
        return wanted

    def _rule_out(self, diagnosis: Diagnosis, message: str, plugins: Sequence[str]) -> None:
        status = Status(Code.UNSCHEDULABLE_AND_UNRESOLVABLE, (message,), plugins[-1])
        diagnosis.statuses = {node.name: status for node in self._cache.all()}
        diagnosis.pre_filter_message = message
        diagnosis.plugins.update(plugins)

    def _left_out(self, diagnosis: Diagnosis, plugins: Sequence[str]) -> None:
        """The nodes that were not even looked at."""
        reason = f"node(s) didn't satisfy plugin(s) [{' '.join(sorted(plugins))}]"
        status = Status(Code.UNSCHEDULABLE_AND_UNRESOLVABLE, (reason,), plugins[-1])
        for node in self._cache.all():
            if node.name not in diagnosis.statuses:
                diagnosis.add(node.name, status)

    def _feasible(
        self,
        profile: Profile,
        state: CycleState,
        pod: PodInfo,
        table: Table,
        wanted: frozenset[str] | None,
        diagnosis: Diagnosis,
        limit: int | None = None,
    ) -> _Search:
        """`limit`: of nodes to find; one when nobody scores, as many as there are when they were chosen before."""
        nodes = self._cache.all()
        nominated = self._nominator.node_of(pod.uid) or pod.nominated_node
        if nominated and (position := table.position(nominated)) is not None:
            search = self._look(profile, state, pod, table, [range(position, position + 1)], 1)
            if search.found:
                return search
        count = len(nodes)
        start = self._start % count
        named: Sequence[int] = range(count)
        ranges = [range(start, count), range(start)]
        if wanted is not None:
            named = [each for each in map(table.position, sorted(wanted)) if each is not None]
            ranges = [range(each, each + 1) for each in named]
        enough = limit or feasible_nodes_to_find(len(named), profile.percentage_of_nodes_to_score)
        search = self._look(profile, state, pod, table, ranges, enough)
        self._start = (start + search.evaluated) % count
        if not search.found:
            self._explain(profile, state, pod, table, named, diagnosis)
            if wanted is not None:
                self._left_out(diagnosis, state[NARROWED] or [EXTENDERS])
        return search

    def _look(
        self,
        profile: Profile,
        state: CycleState,
        pod: PodInfo,
        table: Table,
        ranges: Sequence[range],
        enough: int,
    ) -> _Search:
        """Block by block, each as long as what is still wanted: so never one node too many is looked at."""
        others = [plugin for plugin in profile.other_filters if plugin.name not in state[SKIPPED]]
        single = bool(others) or bool(self._nominator)
        search = _Search()
        for positions in ranges:
            at = positions.start
            while at < positions.stop and len(search.found) < enough:
                end = min(positions.stop, at + enough - len(search.found))
                self._fill(state, pod, table, at, end)
                block = enumerate(table.rows[at:end], at)
                fit = [position for position, row in block if row is not None and row.status is None]
                if single:
                    fit = [each for each in fit if self._judge(profile, others, state, pod, each) is None]
                search.found += fit
                search.evaluated += end - at
                at = end
        return search

    def _fill(self, state: CycleState, pod: PodInfo, table: Table, start: int, end: int) -> None:
        rows = table.rows
        if None not in rows[start:end]:
            return
        nodes = self._cache.all()
        for position in range(start, end):
            if rows[position] is None:
                status = table.fill(position, pod, nodes[position], state).status
                if status is not None and status.code is Code.ERROR:
                    raise PluginError(status)

    def _judge(
        self, profile: Profile, others: Sequence[FilterPlugin], state: CycleState, pod: PodInfo, position: int
    ) -> Status | None:
        """What is not in the table: filters that look further than the node, and promised places."""
        node = self._cache.all()[position]
        status: Status | None = None
        for plugin in others:
            if (status := plugin.filter(state, pod, node)) is not None:
                status = status.by(plugin.name)
                break
        if status is None and node.name in self._nominator.nodes:
            status = self._with_promised(profile, state, pod, node)
        if status is not None and status.code is Code.ERROR:
            raise PluginError(status)
        return status

    def _explain(
        self,
        profile: Profile,
        state: CycleState,
        pod: PodInfo,
        table: Table,
        positions: Sequence[int],
        diagnosis: Diagnosis,
    ) -> None:
        """Nothing was found: why not, node by node."""
        others = [plugin for plugin in profile.other_filters if plugin.name not in state[SKIPPED]]
        nodes = self._cache.all()
        for position in positions:
            status = table.fill(position, pod, nodes[position], state).status
            status = status or self._judge(profile, others, state, pod, position)
            assert status is not None, "it was found unfit a moment ago"
            diagnosis.add(nodes[position].name, status)

    def _with_promised(
        self, profile: Profile, state: CycleState, pod: PodInfo, node: NodeInfo
    ) -> Status | None:
        """It fits now; does it still, once those who were promised the node are there?"""
        promised = [
            p for p in self._nominator.on(node.name) if p.priority >= pod.priority and p.uid != pod.uid
        ]
        if not promised:
            return None
        state, node = profile.copy_state(state), node.copy()
        for other in promised:
            profile.add_pod(state, pod, other, node)
        return profile.run_filters(state, pod, node, state[SKIPPED])

    # ---- scores

    def _scores(
        self, profile: Profile, state: CycleState, pod: PodInfo, table: Table, search: _Search
    ) -> list[int]:
        all_nodes = self._cache.all()
        rows = [row for position in search.found if (row := table.rows[position]) is not None]
        for position, row in zip(search.found, rows, strict=True):
            if not row.scored:
                table.score(row, pod, all_nodes[position], state)
        totals = [row.base for row in rows]
        nodes: list[NodeInfo] = []
        for index, (plugin, weight) in enumerate(table.normalized):
            raw = [row.raw[index] for row in rows]
            if any(raw):
                nodes = nodes or [all_nodes[position] for position in search.found]
                totals = _added(totals, plugin.normalize(state, pod, nodes, raw), weight)
            elif constant := plugin.normalize(state, pod, all_nodes[:1], [0])[0]:
                totals = [total + weight * constant for total in totals]
        for plugin, weight in profile.other_scores:
            nodes = nodes or [all_nodes[position] for position in search.found]
            status = plugin.pre_score(state, pod, nodes)
            if status is not None and status.code is Code.SKIP:
                continue
            if status is not None:
                raise PluginError(status.by(plugin.name))
            raw = plugin.score_all(state, pod, nodes)
            totals = _added(totals, plugin.normalize(state, pod, nodes, raw), weight)
        return totals


def feasible_nodes_to_find(nodes: int, percentage: int) -> int:
    """0 % means adaptive."""
    if nodes < MIN_FEASIBLE_NODES:
        return nodes
    if percentage == 0:
        percentage = max(MIN_PERCENTAGE, BASE_PERCENTAGE - nodes // NODES_PER_PERCENT)
    return max(MIN_FEASIBLE_NODES, nodes * percentage // 100)


def _added(totals: list[int], scores: list[int], weight: int) -> list[int]:
    return [total + weight * score for total, score in zip(totals, scores, strict=True)]


def _narrowed(plugins: Sequence[str]) -> str:
    if len(plugins) == 1:
        return f"node(s) didn't satisfy plugin {plugins[0]}"
    return f"node(s) didn't satisfy plugin(s) [{' '.join(sorted(plugins))}] simultaneously"
