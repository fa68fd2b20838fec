"""Deleting a pod for a reason that its owner can read afterwards: the condition DisruptionTarget."""

from __future__ import annotations

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_not_found
from control_plane.api.meta import Object
from control_plane.client.client import Client
from control_plane.client.gvr import PODS


async def evict(client: Client, pod: Object, reason: str, message: str, now: float) -> None:
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": meta.rfc3339(now),
    }
    uid, name, namespace = meta.uid_of(pod), meta.name_of(pod), meta.namespace_of(pod)
    patch = {"metadata": {"uid": uid}, "status": {"conditions": [condition]}}
    try:
        await client.patch(PODS, name, patch, namespace, "strategic", "status")
        await client.delete(PODS, name, namespace, uid=uid)
    except StatusError as error:
        if not is_not_found(error):
            raise
