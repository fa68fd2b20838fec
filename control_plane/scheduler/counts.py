"""Counting pods that match a selector, per node and per topology value, without counting again for each pod.

A counter scans the pods of its namespace once; from then on every pod that comes or goes is one comparison.
So what spreading costs per pod depends on how many different selectors are in use, not on how many pods
there are. The least recently used selector is forgotten when there are too many.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping

from control_plane.api.selectors import LabelSelector
from control_plane.scheduler.framework.pod_info import PodInfo

MAX_COUNTERS = 512

Key = tuple[str, LabelSelector, bool]
LabelsOf = Callable[[str], Mapping[str, str]]  # of a node


class Counter:
    """Pods of one namespace that match one selector; with or without those that are being deleted."""

    __slots__ = ("_labels_of", "_totals", "by_node", "namespace", "selector", "terminating")

    def __init__(
        self, namespace: str, selector: LabelSelector, terminating: bool, labels_of: LabelsOf
    ) -> None:
        self.namespace = namespace
        self.selector = selector
        self.terminating = terminating
        self.by_node: dict[str, int] = {}
        self._labels_of = labels_of
        self._totals: dict[str, dict[str, int]] = {}

    def by_value(self, topology_key: str) -> Mapping[str, int]:
        """Nodes without the label count under "". Values without a pod may be missing."""
        totals = self._totals.get(topology_key)
        if totals is None:
            totals = self._totals[topology_key] = {}
            for node_name, count in self.by_node.items():
                value = self._labels_of(node_name).get(topology_key, "")
                totals[value] = totals.get(value, 0) + count
        return totals

    def count(self, pod: PodInfo, sign: int) -> None:
        if pod.terminating and not self.terminating:
            return
        if pod.namespace != self.namespace or not self.selector.matches(pod.labels):
            return
        node_name = pod.node_name
        left = self.by_node.get(node_name, 0) + sign
        if left:
            self.by_node[node_name] = left
        else:
            self.by_node.pop(node_name, None)
        for topology_key, totals in self._totals.items():
            value = self._labels_of(node_name).get(topology_key, "")
            totals[value] = totals.get(value, 0) + sign

    def forget_totals(self) -> None:
        """Labels of a node have changed."""
        self._totals.clear()


class Counters:
    def __init__(self, labels_of: LabelsOf) -> None:
        self._labels_of = labels_of
        self._counters: OrderedDict[Key, Counter] = OrderedDict()
        self._by_namespace: dict[str, dict[Key, Counter]] = {}

    def get(
        self,
        namespace: str,
        selector: LabelSelector,
        terminating: bool,
        pods: Callable[[], Iterable[PodInfo]],
    ) -> Counter:
        """`pods` are all that there are, for a selector that is asked for the first time."""
        key = (namespace, selector, terminating)
        counter = self._counters.get(key)
        if counter is None:
            counter = Counter(namespace, selector, terminating, self._labels_of)
            for pod in pods():
                counter.count(pod, 1)
            self._counters[key] = counter
            self._by_namespace.setdefault(namespace, {})[key] = counter
            self._bound()
        self._counters.move_to_end(key)
        return counter

    def count(self, pod: PodInfo, sign: int) -> None:
        for counter in self._by_namespace.get(pod.namespace, {}).values():
            counter.count(pod, sign)

    def forget_totals(self) -> None:
        for counter in self._counters.values():
            counter.forget_totals()

    def _bound(self) -> None:
        while len(self._counters) > MAX_COUNTERS:
            key, _ = self._counters.popitem(last=False)
            namespace = key[0]
            del self._by_namespace[namespace][key]
            if not self._by_namespace[namespace]:
                del self._by_namespace[namespace]
