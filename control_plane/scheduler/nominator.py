"""Pods that were promised a node by preemption and wait for their victims to leave it.

Others of lower priority must not take the place: when such a node is judged, the promised pods of at least
the judged pod's priority count as if they were there.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from control_plane.scheduler.framework.pod_info import PodInfo


class Nominator:
    def __init__(self) -> None:
        self._by_node: dict[str, dict[str, PodInfo]] = {}
        self._node_of: dict[str, str] = {}

    def nominate(self, pod: PodInfo, node_name: str) -> None:
        self.forget(pod.uid)
        self._by_node.setdefault(node_name, {})[pod.uid] = pod.on(node_name)
        self._node_of[pod.uid] = node_name

    def forget(self, uid: str) -> None:
        node_name = self._node_of.pop(uid, None)
        if node_name is not None:
            pods = self._by_node[node_name]
            del pods[uid]
            if not pods:
                del self._by_node[node_name]

    def node_of(self, uid: str) -> str:
        return self._node_of.get(uid, "")

    def on(self, node_name: str) -> Sequence[PodInfo]:
        return list(self._by_node.get(node_name, {}).values())

    @property
    def nodes(self) -> Container[str]:
        return self._by_node.keys()

    def __bool__(self) -> bool:
        return bool(self._by_node)
