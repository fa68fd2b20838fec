"""Judging a node once for all pods that are alike: the reason why a cycle's cost does not grow with the
cluster.

Pods are alike when every *local* plugin signs them alike (see `interface`): replicas of one template,
mostly. For each such class a table holds, per node, the outcome of the local filters and the local scores.
A node's row is computed when a cycle first looks at it and thrown away when the node changes; binding a pod
changes one node, so the next replica costs one row. Tables are bounded in number; the least recently used
class is forgotten.

Nothing is approximated: a row is what the plugins would say now. Filters are cached only up to the first
filter that is not local in the profile's order, so that the reason of a rejection is the one that the order
implies.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from control_plane.scheduler.cache import Cache
from control_plane.scheduler.framework.interface import NOT_LOCAL, CycleState, FilterPlugin, ScorePlugin
from control_plane.scheduler.framework.node_info import NodeInfo
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.framework.status import SKIP, Code, Status

MAX_CLASSES = 64


@dataclass(slots=True, eq=False)
class Row:
    status: Status | None
    base: int = 0  # weighted sum of the local scores that need no normalization
    raw: tuple[int, ...] = ()  # the others, in the order of `LocalPlugins.normalized`
    scored: bool = False


@dataclass(slots=True)
class LocalPlugins:
    """The part of a profile that can be judged node by node."""

    filters: tuple[FilterPlugin, ...]
    flat: tuple[tuple[ScorePlugin, int], ...]  # with their weights
    normalized: tuple[tuple[ScorePlugin, int], ...]

    @classmethod
    def of(
        cls,
        filters: Sequence[FilterPlugin],
        scores: Sequence[tuple[ScorePlugin, int]],
        probe: PodInfo,
    ) -> LocalPlugins:
        leading: list[FilterPlugin] = []
        for plugin in filters:
            if plugin.sign(probe) is NOT_LOCAL:
                break
            leading.append(plugin)
        local = [(p, weight) for p, weight in scores if p.sign_score(probe) is not NOT_LOCAL]
        flat = tuple(each for each in local if not each[0].normalizes)
        return cls(tuple(leading), flat, tuple(each for each in local if each[0].normalizes))

    def signature(self, pod: PodInfo) -> Hashable:
        return (
            tuple(plugin.sign(pod) for plugin in self.filters),
            tuple(plugin.sign_score(pod) for plugin, _ in self.flat),
            tuple(plugin.sign_score(pod) for plugin, _ in self.normalized),
        )


class Table:
    """The rows of one class, by position in the cache's order of nodes."""

    __slots__ = ("_generation", "_order", "_plugins", "_positions", "_stamp", "flat", "normalized", "rows")

    def __init__(self, plugins: LocalPlugins, pod: PodInfo) -> None:
        self._plugins = plugins
        self.rows: list[Row | None] = []
        self._positions: dict[str, int] = {}
        self._generation = -1
        self._order = -1
        self._stamp: Hashable = None
        state: CycleState = {}
        self.flat = [each for each in plugins.flat if not _skips(each[0], state, pod)]
        self.normalized = [each for each in plugins.normalized if not _skips(each[0], state, pod)]

    def sync(self, cache: Cache, pod: PodInfo) -> None:
        """Throw away what is out of date."""
        nodes = cache.all()
        stamp = tuple([plugin.stamp(pod) for plugin, _ in (*self.flat, *self.normalized)])
        if self._order != cache.order or self._stamp != stamp:
            self._stamp = stamp
            self._order = cache.order
            self.rows = [None] * len(nodes)
            self._positions = {node.name: position for position, node in enumerate(nodes)}
        else:
            for node in cache.changed_since(self._generation):
                position = self._positions.get(node.name)
                if position is not None:
                    self.rows[position] = None
        self._generation = cache.generation

    def fill(self, position: int, pod: PodInfo, node: NodeInfo, state: CycleState) -> Row:
        """Judge the node, if it is not judged yet. An error is not remembered."""
        row = self.rows[position]
        if row is None:
            row = Row(self._filtered(pod, node, state))
            if row.status is None or row.status.code is not Code.ERROR:
                self.rows[position] = row
        return row

    def score(self, row: Row, pod: PodInfo, node: NodeInfo, state: CycleState) -> None:
        row.base = sum(weight * plugin.score(state, pod, node) for plugin, weight in self.flat)
        row.raw = tuple(plugin.score(state, pod, node) for plugin, _ in self.normalized)
        row.scored = True

    def position(self, name: str) -> int | None:
        return self._positions.get(name)

    def _filtered(self, pod: PodInfo, node: NodeInfo, state: CycleState) -> Status | None:
        for plugin in self._plugins.filters:
            status = plugin.filter(state, pod, node)
            if status is not None and status.code is not Code.SUCCESS:
                return status.by(plugin.name)
        return None


class Tables:
    """The tables of one profile."""

    def __init__(self, profile: str, plugins: LocalPlugins) -> None:
        self._profile = profile
        self._plugins = plugins
        self._tables: OrderedDict[Hashable, Table] = OrderedDict()

    def table(self, pod: PodInfo, cache: Cache) -> Table:
        signature = pod.classes.get(self._profile)
        if signature is None:
            signature = pod.classes[self._profile] = self._plugins.signature(pod)
        table = self._tables.get(signature)
        if table is None:
            table = self._tables[signature] = Table(self._plugins, pod)
            if len(self._tables) > MAX_CLASSES:
                self._tables.popitem(last=False)
        self._tables.move_to_end(signature)
        table.sync(cache, pod)
        return table


def _skips(plugin: ScorePlugin, state: CycleState, pod: PodInfo) -> bool:
    status = plugin.pre_score(state, pod, ())
    return status is not None and status.code is SKIP.code
