"""The thin half of a control loop: informers feed a keyed queue, workers reconcile keys.

A controller is one class with a `name`, the informers it asks for in `__init__`, and `reconcile(key)`. It keeps no
state that a restart would miss, except to spare itself work. Level-triggered: `reconcile` reads what is there and
writes what is missing, with preconditions, so that a late write fails instead of doing harm.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.client.gvr import GVR
from control_plane.client.informer import Informer
from control_plane.client.workers import run_workers
from control_plane.client.workqueue import WorkQueue
from control_plane.controllers.context import Context

# A missing event or a lost response costs this much at most: every key is looked at again.
RETRY_LIMIT_S = 30.0


class Controller(ABC):
    name: ClassVar[str]
    account: ClassVar[str]  # the service account of kube-system whose role it has
    source: ClassVar[str] = ""  # what its events say they come from; empty: its name with "-controller"
    workers: ClassVar[int] = 5

    def __init__(self, context: Context) -> None:
        self.context = context
        client = context.client_for(self.account)
        self.client = client.named(f"balsa-controller-manager/{self.name}", f"{self.name}-controller")
        self.record = context.recorder(self.client, self.source or f"{self.name}-controller")
        self.queue: WorkQueue[str] = WorkQueue(context.client.clock, max_delay_s=RETRY_LIMIT_S)
        self.informers: list[Informer] = []

    @abstractmethod
    async def reconcile(self, key: str) -> float | None:
        """Bring the object `key` names ("namespace/name") to its plan; seconds until the next look, or None."""

    async def run(self) -> None:
        """Until cancelled."""
        for informer in self.informers:
            await informer.wait_synced()
        try:
            await run_workers(self.queue, self.reconcile, self.workers, self.name)
        finally:
            self.queue.shut_down()

    def informer(self, gvr: GVR, optional: bool = False) -> Informer:
        """The shared informer; `run` waits for it. `optional`: the kind need not be served."""
        informer = self.context.informers.informer(gvr, optional=optional)
        if informer not in self.informers:
            self.informers.append(informer)
        return informer

    def reconcile_each(self, informer: Informer) -> None:
        """Every change of an object is a reason to look at it."""
        informer.add_handler(
            on_add=self.enqueue,
            on_update=lambda _, new: self.enqueue(new),
            on_delete=self.enqueue,
        )

    def reconcile_owner(self, informer: Informer, kind: str) -> None:
        """Every change of an object is a reason to look at the `kind` that controls it, before and after."""

        def enqueue(obj: Object) -> None:
            owner = meta.controller_of(obj)
            if owner is not None and owner["kind"] == kind:
                self.queue.add(f"{meta.namespace_of(obj)}/{owner['name']}")

        def update(old: Object, new: Object) -> None:
            enqueue(new)
            enqueue(old)

        informer.add_handler(on_add=enqueue, on_update=update, on_delete=enqueue)

    def enqueue(self, obj: Object) -> None:
        self.queue.add(meta.key_of(obj))


def named(informer: Informer, key: str) -> Object | None:
    """The object of a queue's key."""
    return informer.get(*meta.split_key(key))
