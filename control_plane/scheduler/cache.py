"""All nodes with the pods on them, as the API says or as this scheduler has just decided. Pure; time is
injected.

A pod's way through the cache, as in kube-scheduler:

    (unknown) --assume--> assumed --finish_binding--> assumed, expires --add--> known --remove--> (unknown)
                             |  \\--forget--> (unknown)       |
                             |                              \\--expiry--> (unknown)
    (unknown) --add--> known

- Assumed pods count as if they were there, so that the next pod is placed without waiting for the API.
- What the API says wins over an assumption.
- Deleting a node that still has pods keeps them: their deletions come later.

There is no snapshot to copy: a scheduling cycle does not await, so nobody changes the cache while it reads.
`order` changes with the set of nodes; `changed_since` names the nodes that changed after a generation,
newest first, so that whoever computed something per node repeats only what is out of date.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from control_plane.api.selectors import LabelSelector
from control_plane.client.clock import Clock
from control_plane.client.types import Obj
from control_plane.scheduler.counts import Counter, Counters
from control_plane.scheduler.framework.node_info import NodeInfo
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.node_tree import NodeTree

ASSUMED_POD_TTL_S = 300.0  # after binding: the watch says it long before, or the binding was not true


@dataclass(slots=True)
class _Assumed:
    deadline_s: float | None = None  # None: binding is under way


class Cache:
    def __init__(self, clock: Clock, assumed_ttl_s: float = ASSUMED_POD_TTL_S) -> None:
        self._clock = clock
        self._ttl_s = assumed_ttl_s
        self._nodes: dict[str, NodeInfo] = {}
        self._pods: dict[str, PodInfo] = {}  # by uid
        self._assumed: dict[str, _Assumed] = {}
        self._recent: OrderedDict[str, None] = OrderedDict()  # node names, the last changed at the end
        self._tree = NodeTree()
        self._ordered: list[NodeInfo] = []
        self._order_stale = False
        self.order = 0
        self._images: dict[str, int] = {}
        self._affinity: dict[str, NodeInfo] = {}
        self._anti_affinity: dict[str, NodeInfo] = {}
        self._topologies: dict[str, Mapping[str, int]] = {}
        self._counters = Counters(self._labels_of)

    # ---- what cycles read

    def all(self) -> Sequence[NodeInfo]:
        """Nodes that exist, zone by zone in turn, as kube-scheduler's node tree orders them."""
        if self._order_stale:
            self._ordered = self._tree.in_turn()
            self._order_stale = False
        return self._ordered

    def get(self, name: str) -> NodeInfo | None:
        node = self._nodes.get(name)
        return node if node is not None and node.node is not None else None

    def with_affinity(self) -> Sequence[NodeInfo]:
        return [node for node in self._affinity.values() if node.node is not None]

    def with_required_anti_affinity(self) -> Sequence[NodeInfo]:
        return [node for node in self._anti_affinity.values() if node.node is not None]

    def image_spread(self, image: str) -> int:
        return self._images.get(image, 0)

    def topology(self, key: str) -> Mapping[str, int]:
        """The values of this label, and how many nodes have each."""
        values = self._topologies.get(key)
        if values is None:
            found = (node.labels[key] for node in self.all() if key in node.labels)
            values = self._topologies[key] = Tally(found)
        return values

    def matching(self, namespace: str, selector: LabelSelector, terminating: bool = False) -> Counter:
        return self._counters.get(namespace, selector, terminating, self._pods.values)

    def changed_since(self, generation: int) -> Iterator[NodeInfo]:
        for name in reversed(self._recent):
            node = self._nodes[name]
            if node.generation <= generation:
                return
            yield node

    @property
    def generation(self) -> int:
        """Of the last change."""
        if not self._recent:
            return 0
        return self._nodes[next(reversed(self._recent))].generation

    def pod(self, uid: str) -> PodInfo | None:
        return self._pods.get(uid)

    def is_assumed(self, uid: str) -> bool:
        return uid in self._assumed

    @property
    def assumed_count(self) -> int:
        return len(self._assumed)

    @property
    def pod_count(self) -> int:
        return len(self._pods)

    # ---- nodes

    def set_node(self, obj: Obj) -> None:
        """Added or changed."""
        name = obj["metadata"]["name"]
        node = self._nodes.get(name) or self._new(name)
        labels = node.labels
        self._count_images(node, -1)
        node.set_node(obj)
        self._count_images(node, 1)
        self._touched(node)
        if self._tree.put(node):
            self._reorder()
        if labels != node.labels:
            self._labels_changed()

    def remove_node(self, name: str) -> None:
        node = self._nodes.get(name)
        if node is None or node.node is None:
            return
        self._count_images(node, -1)
        node.remove_node()
        self._tree.remove(name)
        self._touched(node)
        self._reorder()
        self._labels_changed()
        self._drop_if_unused(node)

    # ---- pods

    def assume(self, pod: PodInfo) -> None:
        """`pod.node_name` is where it will be."""
        if pod.uid in self._pods:
            raise ValueError(f"pod {pod.key} is already in the cache")
        self._put(pod)
        self._assumed[pod.uid] = _Assumed()

    def finish_binding(self, uid: str) -> None:
        """The API took it: from now on the watch must confirm it in time."""
        assumed = self._assumed.get(uid)
        if assumed is not None and self._ttl_s > 0:
            assumed.deadline_s = self._clock.monotonic() + self._ttl_s

    def forget(self, uid: str) -> None:
        """The assumption was wrong."""
        if self._assumed.pop(uid, None) is not None:
            self._take(uid)

    def add_pod(self, pod: PodInfo) -> None:
        """The API shows it on a node. Replaces what was known or assumed; the node has changed only if that counts
        for something else."""
        self._assumed.pop(pod.uid, None)
        known = self._pods.get(pod.uid)
        if known is not None and known.counts_as(pod):
            self._pods[pod.uid] = pod
            self._nodes[pod.node_name].replace_pod(pod)
            return
        if known is not None:
            self._take(pod.uid)
        self._put(pod)

    def remove_pod(self, uid: str) -> None:
        self._assumed.pop(uid, None)
        if uid in self._pods:
            self._take(uid)

    def expire(self) -> list[PodInfo]:
        """Drop the assumptions that nothing has confirmed in time."""
        now_s = self._clock.monotonic()
        due = [
            uid
            for uid, each in self._assumed.items()
            if each.deadline_s is not None and each.deadline_s <= now_s
        ]
        gone = [self._pods[uid] for uid in due]
        for uid in due:
            self.forget(uid)
        return gone

    # ---- inside

    def _new(self, name: str) -> NodeInfo:
        node = self._nodes[name] = NodeInfo(name)
        self._recent[name] = None
        return node

    def _put(self, pod: PodInfo) -> None:
        node = self._nodes.get(pod.node_name) or self._new(pod.node_name)
        self._pods[pod.uid] = pod
        node.add_pod(pod)
        self._index(node)
        self._counters.count(pod, 1)
        self._touched(node)

    def _take(self, uid: str) -> None:
        pod = self._pods.pop(uid)
        node = self._nodes[pod.node_name]
        node.remove_pod(uid)
        self._index(node)
        self._counters.count(pod, -1)
        self._touched(node)
        self._drop_if_unused(node)

    def _index(self, node: NodeInfo) -> None:
        for index, pods in (
            (self._affinity, node.pods_with_affinity),
            (self._anti_affinity, node.pods_with_required_anti_affinity),
        ):
            if pods:
                index[node.name] = node
            else:
                index.pop(node.name, None)

    def _touched(self, node: NodeInfo) -> None:
        self._recent.move_to_end(node.name)

    def _labels_changed(self) -> None:
        self._counters.forget_totals()
        self._topologies.clear()

    def _reorder(self) -> None:
        self._order_stale = True
        self.order += 1

    def _drop_if_unused(self, node: NodeInfo) -> None:
        if node.node is None and not node.pods:
            del self._nodes[node.name]
            del self._recent[node.name]

    def _count_images(self, node: NodeInfo, sign: int) -> None:
        for image in node.images:
            held = self._images.get(image, 0) + sign
            if held:
                self._images[image] = held
            else:
                del self._images[image]

    def _labels_of(self, node_name: str) -> Mapping[str, str]:
        node = self._nodes.get(node_name)
        return node.labels if node is not None else {}
