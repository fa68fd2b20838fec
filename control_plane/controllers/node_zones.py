"""Zones of nodes, and how fast pods may be moved away from the dead ones of each. Pure.

    Normal               --node-eviction-rate nodes a second
    PartialDisruption    many are not ready at once: rather the network than the nodes.
                         --secondary-node-eviction-rate in a zone of more than --large-cluster-size-threshold
                         nodes, not at all in a smaller one
    FullDisruption       none is ready: as Normal, since the other zones can take the pods
    all FullDisruption   it is this process that is cut off: nothing is evicted, and what was marked is unmarked

As kube-controller-manager's; a node counts as evicted once it has its NoExecute taint.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.controllers.context import Options

REGION, ZONE = "topology.kubernetes.io/region", "topology.kubernetes.io/zone"
MANY_NOT_READY = 2  # more are a partial disruption, if they are enough of the zone


class State(Enum):
    NORMAL = "Normal"
    PARTIAL = "PartialDisruption"
    FULL = "FullDisruption"


def zone_of(node: Object) -> str:
    labels = meta.labels(node)
    return f"{labels.get(REGION, '')}:{labels.get(ZONE, '')}"


def state_of(ready: int, not_ready: int, unhealthy_zone_threshold: float) -> State:
    if not ready and not_ready:
        return State.FULL
    if not_ready > MANY_NOT_READY and not_ready / (ready + not_ready) >= unhealthy_zone_threshold:
        return State.PARTIAL
    return State.NORMAL


def rate_of(state: State, size: int, options: Options) -> float:
    """Nodes a second."""
    if state is not State.PARTIAL:
        return options.node_eviction_rate
    large = size > options.large_cluster_size_threshold
    return options.secondary_node_eviction_rate if large else 0.0


@dataclass(slots=True)
class _Tokens:
    """One at a time, and the next after 1/rate seconds."""

    left: float = 1.0
    at: float | None = None

    def take(self, rate: float, now: float) -> bool:
        if self.at is not None:
            self.left = min(1.0, self.left + max(0.0, now - self.at) * rate)
        self.at = now
        if rate <= 0 or self.left < 1.0 - 1e-9:
            return False
        self.left -= 1.0
        return True


@dataclass(slots=True)
class Zones:
    """Bounded by the number of nodes."""

    options: Options
    _nodes: dict[str, tuple[str, bool]] = field(default_factory=dict)  # zone, ready
    _ready: Counter[str] = field(default_factory=Counter)
    _size: Counter[str] = field(default_factory=Counter)
    _tokens: dict[str, _Tokens] = field(default_factory=dict)
    _granted: set[str] = field(default_factory=set)  # nodes whose turn has come

    def observe(self, node: Object) -> None:
        self._uncount(meta.name_of(node))
        zone, ready = zone_of(node), meta.condition_is_true(node, "Ready")
        self._nodes[meta.name_of(node)] = zone, ready
        self._size[zone] += 1
        self._ready[zone] += ready
        if ready:
            self._granted.discard(meta.name_of(node))
        if self.all_disrupted:
            self._granted.clear()

    def forget(self, name: str) -> None:
        self._uncount(name)
        self._granted.discard(name)

    def _uncount(self, name: str) -> None:
        if (before := self._nodes.pop(name, None)) is None:
            return
        zone, ready = before
        self._ready[zone] -= ready
        self._size[zone] -= 1
        if not self._size[zone]:
            del self._size[zone], self._ready[zone]

    def state(self, zone: str) -> State:
        ready = self._ready[zone]
        return state_of(ready, self._size[zone] - ready, self.options.unhealthy_zone_threshold)

    @property
    def all_disrupted(self) -> bool:
        return bool(self._size) and all(self.state(zone) is State.FULL for zone in self._size)

    def may_evict(self, node: Object, now: float) -> bool:
        """Asked for each node that is to be evicted, until it may be; then it may until it is ready again."""
        if self.all_disrupted:
            return False
        name = meta.name_of(node)
        if name in self._granted:
            return True
        zone = zone_of(node)
        rate = rate_of(self.state(zone), self._size[zone], self.options)
        if not self._tokens.setdefault(zone, _Tokens()).take(rate, now):
            return False
        self._granted.add(name)
        return True
