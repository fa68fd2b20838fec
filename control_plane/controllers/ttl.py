"""ttl: tells node agents, by an annotation, how long they may keep a Secret or ConfigMap they have read.

The more nodes, the longer. The bounds overlap, so that a cluster at the edge does not change its mind all the time.
"""

from __future__ import annotations

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.client.gvr import NODES
from control_plane.controllers.context import Context
from control_plane.controllers.controller import Controller, named

ANNOTATION = "node.alpha.kubernetes.io/ttl"
STEPS = (
    (0, 100, 0),
    (90, 500, 15),
    (450, 1000, 30),
    (900, 2000, 60),
    (1800, 2**31, 300),
)  # from, to, seconds


def step(current: int, nodes: int) -> int:
    """The index in STEPS, coming from `current`."""
    while current + 1 < len(STEPS) and nodes > STEPS[current][1]:
        current += 1
    while current > 0 and nodes < STEPS[current][0]:
        current -= 1
    return current


class TTLController(Controller):
    name = "ttl"
    account = "ttl-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.nodes = self.informer(NODES)
        self._step = 0
        self.nodes.add_handler(
            on_add=self._count, on_update=lambda _, new: self.enqueue(new), on_delete=self._count
        )

    async def reconcile(self, key: str) -> float | None:
        node = named(self.nodes, key)
        wanted = str(STEPS[self._step][2])
        if node is None or meta.is_deleting(node) or meta.annotations(node).get(ANNOTATION) == wanted:
            return None
        await self.client.patch(NODES, key, {"metadata": {"annotations": {ANNOTATION: wanted}}})
        return None

    def _count(self, node: Object) -> None:
        before, self._step = self._step, step(self._step, len(self.nodes))
        for each in self.nodes.list() if before != self._step else [node]:
            self.enqueue(each)
