"""What the scheduler knows of storage: claims, volumes, classes, what each node may attach.

`InformedStorage` reads informers, and lays over them the volumes that a cycle has promised to claims
(assumed), until the watch shows a newer form of them or the promise is taken back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

from control_plane.api import meta
from control_plane.client.clock import Clock
from control_plane.client.gvr import (
    CSI_DRIVERS,
    CSI_NODES,
    CSI_STORAGE_CAPACITIES,
    GVR,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    STORAGE_CLASSES,
    VOLUME_ATTACHMENTS,
)
from control_plane.client.informer import Informer, InformerFactory
from control_plane.client.types import Obj
from control_plane.scheduler.framework.events import Action, ClusterEvent, Kind

KINDS: dict[GVR, Kind] = {
    PERSISTENT_VOLUME_CLAIMS: Kind.PERSISTENT_VOLUME_CLAIM,
    PERSISTENT_VOLUMES: Kind.PERSISTENT_VOLUME,
    STORAGE_CLASSES: Kind.STORAGE_CLASS,
    CSI_NODES: Kind.CSI_NODE,
    CSI_DRIVERS: Kind.CSI_DRIVER,
    CSI_STORAGE_CAPACITIES: Kind.CSI_STORAGE_CAPACITY,
    VOLUME_ATTACHMENTS: Kind.VOLUME_ATTACHMENT,
}
Happened = Callable[[ClusterEvent, Obj | None, Obj | None], None]


class Storage(Protocol):
    def claim(self, namespace: str, name: str) -> Obj | None: ...

    def volume(self, name: str) -> Obj | None: ...

    def volumes(self, class_name: str) -> Sequence[Obj]:
        """All of the class."""

    def storage_class(self, name: str) -> Obj | None: ...

    def csi_node(self, name: str) -> Obj | None: ...

    def csi_driver(self, name: str) -> Obj | None: ...

    def capacities(self, class_name: str) -> Sequence[Obj]: ...

    def attachments(self, node_name: str) -> Sequence[Obj]:
        """What is attached there, or is to be, whether or not a pod uses it (any more)."""

    def assume(self, volume: Obj) -> None: ...

    def forget(self, name: str) -> None: ...

    async def changed(self, timeout_s: float) -> None:
        """Until something of it changes, at most so long."""


class InformedStorage:
    def __init__(self, informers: InformerFactory, clock: Clock) -> None:
        self._clock = clock
        self._informers: dict[GVR, Informer] = {which: informers.informer(which) for which in KINDS}
        self._assumed: dict[str, Obj] = {}
        self._waiters: set[asyncio.Future[None]] = set()
        self._informers[PERSISTENT_VOLUMES].add_index("class", lambda volume: [class_of(volume)])
        self._informers[VOLUME_ATTACHMENTS].add_index("node", lambda each: [each["spec"]["nodeName"]])

    def attach(self, happened: Happened) -> None:
        """Tell what happens: to pods that wait for it, and to bindings under way."""
        for which, kind in KINDS.items():
            self._informers[which].add_handler(
                partial(self._added, happened, kind),
                partial(self._updated, happened, kind),
                partial(self._deleted, happened, kind),
            )

    def _added(self, happened: Happened, kind: Kind, new: Obj) -> None:
        happened(ClusterEvent(kind, Action.ADD), None, new)
        self._wake()

    def _updated(self, happened: Happened, kind: Kind, old: Obj, new: Obj) -> None:
        happened(ClusterEvent(kind, Action.UPDATE_OTHER), old, new)
        self._wake()

    def _deleted(self, happened: Happened, kind: Kind, old: Obj) -> None:
        happened(ClusterEvent(kind, Action.DELETE), old, None)
        self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters:
            _end(waiter)

    def claim(self, namespace: str, name: str) -> Obj | None:
        return self._informers[PERSISTENT_VOLUME_CLAIMS].get(namespace, name)

    def volume(self, name: str) -> Obj | None:
        return self._latest(self._informers[PERSISTENT_VOLUMES].get("", name))

    def volumes(self, class_name: str) -> Sequence[Obj]:
        found = self._informers[PERSISTENT_VOLUMES].by_index("class", class_name)
        return [latest for each in found if (latest := self._latest(each)) is not None]

    def storage_class(self, name: str) -> Obj | None:
        return self._informers[STORAGE_CLASSES].get("", name)

    def csi_node(self, name: str) -> Obj | None:
        return self._informers[CSI_NODES].get("", name)

    def csi_driver(self, name: str) -> Obj | None:
        return self._informers[CSI_DRIVERS].get("", name)

    def capacities(self, class_name: str) -> Sequence[Obj]:
        every = self._informers[CSI_STORAGE_CAPACITIES].list()
        return [each for each in every if each.get("storageClassName") == class_name]

    def attachments(self, node_name: str) -> Sequence[Obj]:
        return self._informers[VOLUME_ATTACHMENTS].by_index("node", node_name)

    def assume(self, volume: Obj) -> None:
        self._assumed[meta.name_of(volume)] = volume

    def forget(self, name: str) -> None:
        self._assumed.pop(name, None)

    async def changed(self, timeout_s: float) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        timer = self._clock.call_later(timeout_s, partial(_end, waiter))
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiters.discard(waiter)

    def _latest(self, volume: Obj | None) -> Obj | None:
        """The assumed form, as long as the watch has not shown another one since."""
        if volume is None:
            return None
        assumed = self._assumed.get(meta.name_of(volume))
        if assumed is None:
            return volume
        with suppress(ValueError):
            if int(meta.resource_version_of(volume)) > int(meta.resource_version_of(assumed)):
                self.forget(meta.name_of(volume))
                return volume
        return assumed


def class_of(obj: Obj) -> str:
    """Of a claim or volume."""
    name: str = obj["spec"].get("storageClassName") or ""
    return name


def _end(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
