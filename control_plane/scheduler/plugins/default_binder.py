"""Writes the decision: a Binding with the pod's uid, so that another pod of that name is never bound by
mistake."""

from __future__ import annotations

from control_plane.api.errors import StatusError
from control_plane.client.errors import ConnectionFailed
from control_plane.client.gvr import PODS
from control_plane.scheduler.framework.interface import BindPlugin, CycleState
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.framework.status import Status, error


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
            return error(str(failure))
        return None
