"""The events of a container that waits to be started again: each said once for what it waits for."""

from __future__ import annotations

from node.agent.parts import Parts
from node.agent.pod_spec import Obj, full_name
from node.agent.view import BackOff, ImageBackOff


class WaitingEvents:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._told: dict[str, tuple[str, int]] = {}  # container -> what it waits for, which time

    def back_off(self, pod: Obj, action: BackOff) -> None:
        if self._first(action.name, ("restart", action.attempt)):
            message = f"Back-off restarting failed container {action.name} in pod {full_name(pod)}"
            self._parts.warn(pod, "BackOff", message, action.name)

    def image_back_off(self, pod: Obj, action: ImageBackOff) -> None:
        if self._first(action.name, ("image", action.failures)):
            self._parts.tell(pod, "BackOff", f'Back-off pulling image "{action.image}"', action.name)
            self._parts.warn(pod, "Failed", "Error: ImagePullBackOff", action.name)

    def forget(self, container: str) -> None:
        """It is being started."""
        self._told.pop(container, None)

    def _first(self, container: str, what: tuple[str, int]) -> bool:
        if self._told.get(container) == what:
            return False
        self._told[container] = what
        return True
