"""The shell around `resize` for one pod: what it was given, the change of its containers, and what is told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from node.agent import qos, resize
from node.agent.parts import Parts
from node.agent.pod_spec import Obj, find_container
from node.agent.resize import Allocation, Resizing, Trouble
from node.agent.view import View
from node.runtime.interface import ContainerStatus, RuntimeError_

RETRY_S = 5.0  # a container that used more than its new limit may have given memory back


class Resizer:
    def __init__(self, parts: Parts, pod: Obj, given: Allocation | None = None) -> None:
        self.desired = pod
        self.given: Allocation = resize.allocation(pod) if given is None else given
        self.state = Resizing()
        self._parts = parts

    def take(self, pod: Obj) -> Obj:
        """The API's pod, as it is allocated here."""
        self.desired = pod
        if not self.wants and self.state.pending is not None:
            self.state = replace(self.state, pending=None)
        return resize.with_allocation(pod, self.given)

    @property
    def wants(self) -> bool:
        return resize.differs(self.desired, self.given)

    def decide(self, node: Obj, others: Iterable[Obj]) -> bool:
        """Try to allocate what is desired; True when it was."""
        pending = resize.judge(self.desired, node, others)
        if pending is not None:
            if pending != self.state.pending:
                what, error = pending.reason, pending.message
                self._parts.warn(self.desired, f"Resize{what}", resize.event_text(what, self.desired, error))
            self.state = replace(self.state, pending=pending)
            return False
        self.given = resize.allocation(self.desired)
        self.state = replace(self.state, pending=None, trouble=None, begun=True)
        self._parts.tell(self.desired, "ResizeStarted", resize.event_text("started", self.desired))
        return True

    def look(self, view: View) -> None:
        """Say once that all containers have what is allocated."""
        if self.state.begun and resize.is_done(view.pod, view.latest):
            self.state = replace(self.state, begun=False, trouble=None)
            self._parts.tell(view.pod, "ResizeCompleted", resize.event_text("completed", view.pod))

    def begin(self, container_id: str) -> None:
        """`change` is about to come."""
        self.state = replace(self.state, under_way=self.state.under_way | {container_id})

    async def change(self, pod: Obj, container_id: str, status: ContainerStatus | None) -> None:
        try:
            found = find_container(pod, status.config.name) if status is not None else None
            if found is not None and status is not None and status.id == container_id:
                await self._change(pod, found[1], status)
        finally:
            self.state = replace(self.state, under_way=self.state.under_way - {container_id})

    async def _change(self, pod: Obj, container: Obj, status: ContainerStatus) -> None:
        wanted = qos.runtime_resources(pod, container, self._parts.memory_bytes)
        wanted = replace(wanted, oom_score_adj=status.config.resources.oom_score_adj)  # as runc leaves it
        annotations = {**status.config.annotations, **resize.notes(pod, container)}
        try:
            await self._parts.runtime.update_container(status.id, wanted, annotations)
            self.state = replace(self.state, trouble=None)
        except RuntimeError_ as error:
            self._failed(pod, resize.trouble_message(status.config.name, error))

    def _failed(self, pod: Obj, message: str) -> None:
        before = self.state.trouble
        if before is None or before.message.split("(")[0] != message.split("(")[0]:
            self._parts.warn(pod, "ResizeError", resize.event_text("error", pod, message))
        trouble = Trouble(message, self._parts.clock.wall() + RETRY_S)
        self.state = replace(self.state, trouble=trouble, begun=True)


def urgency(resizer: Resizer) -> tuple[bool, int, bool]:
    """Who is served first: those that ask for no more, the important, the Guaranteed."""
    pod = resizer.desired
    priority = int(pod["spec"].get("priority") or 0)
    return resize.grows(pod, resizer.given), -priority, qos.qos_class(pod) != "Guaranteed"
