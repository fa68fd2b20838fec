"""The ConfigMaps and Secrets that this node's pods refer to, watched one by one.

As kubelet's watching manager: an object is watched while a pod that is here refers to it, so the node asks
only for what the Node authorizer grants. `get` waits for the first list; `peek` reads what is known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from control_plane.client import gvr
from control_plane.client.client import Client
from control_plane.client.informer import Informer
from node.agent.errors import VolumeError
from node.agent.pod_spec import Obj
from node.agent.references import Ref

FIRST_LIST_TIMEOUT_S = 10.0
_KINDS = {"ConfigMap": gvr.CONFIGMAPS, "Secret": gvr.SECRETS}


@dataclass(slots=True)
class _Watched:
    informer: Informer
    task: asyncio.Task[None]
    owners: set[str] = field(default_factory=set)


class ObjectCache:
    """`on_change(owner uid)` is called for every pod that refers to an object that changed."""

    def __init__(self, client: Client, on_change: Callable[[str], None]) -> None:
        self._client = client
        self._on_change = on_change
        self._watched: dict[Ref, _Watched] = {}

    def retain(self, owner: str, refs: set[Ref]) -> None:
        for ref in refs:
            if ref not in self._watched:
                self._watched[ref] = self._watch(ref)
            self._watched[ref].owners.add(owner)

    def release(self, owner: str) -> None:
        for ref, watched in list(self._watched.items()):
            watched.owners.discard(owner)
            if not watched.owners:
                watched.task.cancel()
                del self._watched[ref]

    async def get(self, ref: Ref) -> Obj | None:
        """None: there is no such object. Raises VolumeError when the API does not answer in time."""
        watched = self._watched.get(ref)
        assert watched is not None, f"{ref} was not retained"
        try:
            async with asyncio.timeout(FIRST_LIST_TIMEOUT_S):
                await watched.informer.wait_synced()
        except TimeoutError as error:
            message = f"failed to sync {ref.kind.lower()} cache: timed out waiting for the condition"
            raise VolumeError(message) from error
        return watched.informer.get(ref.namespace, ref.name)

    def peek(self, kind: str, namespace: str, name: str) -> Obj | None:
        watched = self._watched.get(Ref(kind, namespace, name))
        return watched.informer.get(namespace, name) if watched else None

    def _watch(self, ref: Ref) -> _Watched:
        informer = Informer(self._client, _KINDS[ref.kind], ref.namespace, f"metadata.name={ref.name}")
        task = asyncio.create_task(informer.run(), name=f"watch {ref.kind} {ref.namespace}/{ref.name}")
        watched = _Watched(informer, task)

        def changed(*_: Obj) -> None:
            for owner in list(watched.owners):
                self._on_change(owner)

        informer.add_handler(on_add=changed, on_update=changed, on_delete=changed)
        return watched

    async def close(self) -> None:
        tasks = [each.task for each in self._watched.values()]
        self._watched.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
