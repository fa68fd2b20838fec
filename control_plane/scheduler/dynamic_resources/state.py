"""What the scheduler knows of dynamic resources: claims, device classes, slices, and which devices are taken.

`InformedDevices` reads informers. Over them lie, by claim: what a cycle has decided and a binding is about to write
(pending), and what was written and the watch has not shown yet (assumed). A device counts as taken through all
of them, so that no two claims get it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol

from control_plane.api import meta
from control_plane.client.gvr import (
    DEVICE_CLASSES,
    DEVICE_TAINT_RULES,
    GVR,
    RESOURCE_CLAIMS,
    RESOURCE_SLICES,
)
from control_plane.client.informer import InformerFactory
from control_plane.client.types import Obj
from control_plane.scheduler.dynamic_resources.claims import allocation_of
from control_plane.scheduler.dynamic_resources.devices import Slice, parse_slice
from control_plane.scheduler.dynamic_resources.extended import Backing, backing
from control_plane.scheduler.dynamic_resources.pools import Inventory, inventory
from control_plane.scheduler.dynamic_resources.taint_rules import tainted
from control_plane.scheduler.dynamic_resources.usage import Usage
from control_plane.scheduler.framework.events import Action, ClusterEvent, Kind
from store.component import logs

KINDS: dict[GVR, Kind] = {
    RESOURCE_CLAIMS: Kind.RESOURCE_CLAIM,
    RESOURCE_SLICES: Kind.RESOURCE_SLICE,
    DEVICE_CLASSES: Kind.DEVICE_CLASS,
}
Happened = Callable[[ClusterEvent, Obj | None, Obj | None], None]

log = logs.get("scheduler")


class Devices(Protocol):
    @property
    def usage(self) -> Usage: ...

    @property
    def backing(self) -> Backing:
        """Which extended resources devices stand for."""

    def inventory(self) -> Inventory: ...

    def claim(self, namespace: str, name: str) -> Obj | None: ...

    def device_class(self, name: str) -> Obj | None: ...

    def is_pending(self, uid: str) -> bool:
        """A binding is about to allocate this claim."""

    def pend(self, claim: Obj, allocation: Obj) -> None: ...

    def settle(self, uid: str, written: Obj | None = None) -> None:
        """The binding is through with the claim, or gave up."""

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """A write that no cycle waits for."""


class InformedDevices:
    def __init__(self, informers: InformerFactory) -> None:
        self._informers = {which: informers.informer(which) for which in KINDS}
        self._rules = informers.informer(DEVICE_TAINT_RULES, optional=True)
        self._pending: dict[str, Obj] = {}  # allocation by claim's uid
        self._assumed: dict[str, Obj] = {}  # claim by key
        self._counted: dict[str, Obj] = {}  # allocation by claim's uid, as it is in usage
        self._usage = Usage()
        self._slices: dict[str, Slice] = {}
        self._inventory: Inventory | None = None
        self._backing: Backing | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._retainted: Callable[[Obj], None] | None = None
        claims, slices = self._informers[RESOURCE_CLAIMS], self._informers[RESOURCE_SLICES]
        claims.add_handler(self._claim_seen, self._claim_changed, self._claim_gone)
        forget = self._forget_backing
        self._informers[DEVICE_CLASSES].add_handler(forget, lambda _, new: forget(new), forget)
        slices.add_handler(self._slice_seen, lambda _, new: self._slice_seen(new), self._slice_gone)
        self._rules.add_handler(self._rule_changed, self._rule_updated, self._rule_changed)

    def attach(self, happened: Happened) -> None:
        """Tell pods that wait what happens."""
        for which, kind in KINDS.items():
            self._informers[which].add_handler(
                partial(_added, happened, kind),
                partial(_updated, happened, kind),
                partial(_deleted, happened, kind),
            )
        self._retainted = partial(happened, ClusterEvent(Kind.RESOURCE_SLICE, Action.UPDATE_OTHER), None)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def usage(self) -> Usage:
        self._drop_outdated()
        return self._usage

    @property
    def backing(self) -> Backing:
        if self._backing is None:
            self._backing = backing(self._informers[DEVICE_CLASSES].list())
        return self._backing

    def _forget_backing(self, device_class: Obj) -> None:
        self._backing = None

    def inventory(self) -> Inventory:
        if self._inventory is None:
            self._inventory = inventory(tainted(self._slices.values(), self._rules.list()))
        return self._inventory

    def claim(self, namespace: str, name: str) -> Obj | None:
        self._drop_outdated()
        return self._assumed.get(f"{namespace}/{name}") or self._informers[RESOURCE_CLAIMS].get(
            namespace, name
        )

    def device_class(self, name: str) -> Obj | None:
        return self._informers[DEVICE_CLASSES].get("", name)

    def is_pending(self, uid: str) -> bool:
        return uid in self._pending

    def pend(self, claim: Obj, allocation: Obj) -> None:
        self._pending[meta.uid_of(claim)] = allocation
        self._count(meta.uid_of(claim), allocation)

    def settle(self, uid: str, written: Obj | None = None) -> None:
        pending = self._pending.pop(uid, None)
        if written is not None:
            self._assume(written)
        elif pending is not None:
            known = next((c for c in self._claims() if meta.uid_of(c) == uid), None)
            self._count(uid, None if known is None else allocation_of(known))

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            log.warning("a claim was not released", error=repr(failure))

    # ---- what is taken

    def _claims(self) -> list[Obj]:
        return [
            self._assumed.get(meta.key_of(each), each) for each in self._informers[RESOURCE_CLAIMS].list()
        ]

    def _assume(self, claim: Obj) -> None:
        informer = self._informers[RESOURCE_CLAIMS]
        known = informer.get(meta.namespace_of(claim), meta.name_of(claim))
        if informer.applied_version < _version(claim):
            self._assumed[meta.key_of(claim)] = claim
            self._count(meta.uid_of(claim), allocation_of(claim))
        elif known is not None and meta.uid_of(known) == meta.uid_of(claim):
            self._claim_seen(known)
        else:
            self._count(meta.uid_of(claim), None)  # it is gone already

    def _drop_outdated(self) -> None:
        """A claim that came and went while nobody watched is never shown: once the watch is past it, it is gone."""
        if not self._assumed:
            return
        shown = self._informers[RESOURCE_CLAIMS].applied_version
        for key, claim in list(self._assumed.items()):
            if _version(claim) <= shown:
                del self._assumed[key]
                self._claim_gone(claim)

    def _claim_seen(self, claim: Obj) -> None:
        key, uid = meta.key_of(claim), meta.uid_of(claim)
        assumed = self._assumed.get(key)
        if assumed is not None and _version(assumed) > _version(claim):
            if meta.uid_of(assumed) == uid:
                return  # else it is a former one of that name, and the watch lags
        elif assumed is not None:
            del self._assumed[key]
        if uid not in self._pending:
            self._count(uid, allocation_of(claim))

    def _claim_changed(self, old: Obj, new: Obj) -> None:
        if meta.uid_of(old) != meta.uid_of(new):
            self._claim_gone(old)
        self._claim_seen(new)

    def _claim_gone(self, claim: Obj) -> None:
        assumed = self._assumed.get(meta.key_of(claim))
        if assumed is not None and meta.uid_of(assumed) == meta.uid_of(claim):
            del self._assumed[meta.key_of(claim)]
        self._count(meta.uid_of(claim), self._pending.get(meta.uid_of(claim)))

    def _count(self, uid: str, allocation: Obj | None) -> None:
        if (before := self._counted.pop(uid, None)) is not None:
            self._usage.remove(before)
        if allocation is not None:
            self._usage.add(allocation)
            self._counted[uid] = allocation

    # ---- slices

    def _slice_seen(self, obj: Obj) -> None:
        try:
            self._slices[meta.name_of(obj)] = parse_slice(obj)
        except (KeyError, ValueError) as error:
            log.warning("a resource slice makes no sense", slice=meta.name_of(obj), error=repr(error))
            self._slices.pop(meta.name_of(obj), None)
        self._inventory = None

    def _slice_gone(self, obj: Obj) -> None:
        self._slices.pop(meta.name_of(obj), None)
        self._inventory = None

    def _rule_changed(self, rule: Obj) -> None:
        self._inventory = None
        if self._retainted is not None:
            self._retainted(rule)

    def _rule_updated(self, old: Obj, new: Obj) -> None:
        if _other_spec(old, new):
            self._rule_changed(new)


def _version(obj: Obj) -> int:
    return int(meta.resource_version_of(obj))


def _other_spec(old: Obj, new: Obj) -> bool:
    return bool(old["spec"] != new["spec"])


def _added(happened: Happened, kind: Kind, new: Obj) -> None:
    happened(ClusterEvent(kind, Action.ADD), None, new)


def _updated(happened: Happened, kind: Kind, old: Obj, new: Obj) -> None:
    happened(ClusterEvent(kind, Action.UPDATE_OTHER), old, new)


def _deleted(happened: Happened, kind: Kind, old: Obj) -> None:
    happened(ClusterEvent(kind, Action.DELETE), old, None)
