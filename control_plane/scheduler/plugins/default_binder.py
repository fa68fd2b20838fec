"""Writes the decision: a Binding with the pod's uid, so that another pod of that name is never bound by
mistake.

The answer may be lost, and the binding be written all the same. What the pod was promised (volumes, devices) must
not be given back then: after a failure the pod itself is asked.
"""

from __future__ import annotations

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_not_found
from control_plane.client.errors import ConnectionFailed
from control_plane.client.gvr import PODS
from control_plane.scheduler.framework.interface import BindPlugin, CycleState
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.framework.status import Status, error

MAX_ASKS = 120
ASK_AGAIN_S = 0.5


class DefaultBinder(BindPlugin):
    name = "DefaultBinder"

    async def bind(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node_name},
        }
        try:
            await self.handle.client.create(
                PODS, binding, pod.namespace, subresource="binding", name=pod.name
            )
        except (StatusError, ConnectionFailed) as failure:
            if not await self._is_bound(pod, node_name):
                return error(str(failure))
        return None

    async def _is_bound(self, pod: PodInfo, node_name: str) -> bool:
        """False as well when nobody could be asked for a minute."""
        for _ in range(MAX_ASKS):
            try:
                found = await self.handle.client.get(PODS, pod.name, pod.namespace)
            except StatusError as failure:
                if is_not_found(failure):
                    return False
            except ConnectionFailed:
                pass
            else:
                return meta.uid_of(found) == pod.uid and found["spec"].get("nodeName") == node_name
            await self.handle.clock.sleep(ASK_AGAIN_S)
        return False
