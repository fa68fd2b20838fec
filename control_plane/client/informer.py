"""A local copy of one kind's objects, kept true by list and watch, and told to whoever asks.

Contract:
- After `wait_synced` the store holds everything that existed at some moment after `start`, and every
  handler has been told of it.
- Handlers are plain functions called on the event loop, in the order of the server's revisions, after the
  store has changed. They enqueue a key and return; what they raise is logged and harms nobody else.
- No deletion is missed: what a list after a gap no longer shows is told as deleted, with the last state
  known (client-go's DeletedFinalStateUnknown). An object that was deleted and created again under its name
  in the gap is told as deleted, then as added.
- An update is told once per new resourceVersion; a resync (optional) tells each object again as an update
  of itself.
- One watch per kind and selection in a process: informers are shared through their factory.
- A kind that need not be served (`optional`) has no objects as long as it is not; one looks for it again every
  LOOK_FOR_API_S.
- Objects are shared, so nobody changes them. `managedFields` are dropped: they are a third of an object and
  no loop reads them.

List and watch here play the part of client-go's reflector: list (from the server's cache at first, never
going back in time later), watch from there with bookmarks, and again from the list when history is gone
(410).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass

from control_plane.api.errors import StatusError, is_gone, is_not_found
from control_plane.client import watch as watching
from control_plane.client.backoff import Backoff
from control_plane.client.client import Client
from control_plane.client.errors import ConnectionFailed
from control_plane.client.gvr import GVR
from control_plane.client.indexer import Indexer, IndexFn, Objects, key_of
from control_plane.client.types import BOOKMARK, DELETED, Obj, WatchEvent
from store.component import logs

LIST_PAGE = 500
RELIST_FIRST_DELAY_S = 0.05
RELIST_MAX_DELAY_S = 10.0
LOOK_FOR_API_S = 60.0
EVENTS_PER_TURN = 512  # then other tasks get the loop

Transform = Callable[[Obj], Obj]
OnAdd = Callable[[Obj], None]
OnUpdate = Callable[[Obj, Obj], None]
OnDelete = Callable[[Obj], None]

log = logs.get("informer")


def drop_managed_fields(obj: Obj) -> Obj:
    obj["metadata"].pop("managedFields", None)
    return obj


@dataclass(frozen=True, slots=True)
class _Handler:
    on_add: OnAdd | None
    on_update: OnUpdate | None
    on_delete: OnDelete | None

    def added(self, obj: Obj) -> None:
        self._call(self.on_add, obj)

    def updated(self, old: Obj, new: Obj) -> None:
        self._call(self.on_update, old, new)

    def deleted(self, obj: Obj) -> None:
        self._call(self.on_delete, obj)

    def _call(self, function: Callable[..., None] | None, *objects: Obj) -> None:
        if function is None:
            return
        try:
            function(*objects)
        except Exception as error:
            log.error("handler failed", handler=getattr(function, "__qualname__", "?"), error=repr(error))


class Informer:
    """Made by a factory. `get`, `list` and `by_index` read the local copy and never wait."""

    def __init__(
        self,
        client: Client,
        gvr: GVR,
        namespace: str = "",
        field_selector: str = "",
        label_selector: str = "",
        transform: Transform = drop_managed_fields,
        resync_period_s: float = 0.0,
        optional: bool = False,
    ) -> None:
        self.gvr = gvr
        self._optional = optional
        self._client = client
        self._query = watching.Query(gvr, namespace, label_selector, field_selector)
        self._transform = transform
        self._resync_period_s = resync_period_s
        self._store = Indexer()
        self._handlers: list[_Handler] = []
        self._synced = asyncio.Event()
        self._complaint = ""
        self._list_version = "0"  # of the next list: "0" is any, from the server's cache
        self._applied_version = 0

    # ---- what users see

    def add_handler(
        self,
        on_add: OnAdd | None = None,
        on_update: OnUpdate | None = None,
        on_delete: OnDelete | None = None,
    ) -> None:
        """A late handler is told at once of everything stored."""
        handler = _Handler(on_add, on_update, on_delete)
        self._handlers.append(handler)
        for obj in self._store.list():
            handler.added(obj)

    def get(self, namespace: str, name: str) -> Obj | None:
        """`namespace` is "" for cluster-scoped kinds."""
        return self._store.get(namespace, name)

    def list(self, namespace: str = "") -> Objects:
        return self._store.list(namespace)

    def add_index(self, name: str, function: IndexFn) -> None:
        self._store.add_index(name, function)

    def by_index(self, name: str, value: str) -> Objects:
        return self._store.by_index(name, value)

    def __len__(self) -> int:
        return len(self._store)

    @property
    def synced(self) -> bool:
        return self._synced.is_set()

    @property
    def resource_version(self) -> str:
        """Up to where the copy is true."""
        return self._query.resource_version

    @property
    def applied_version(self) -> int:
        """Everything up to this version is in the store and has been told to the handlers."""
        return self._applied_version

    async def wait_synced(self) -> None:
        await self._synced.wait()

    # ---- list and watch

    async def run(self) -> None:
        """For ever, until cancelled."""
        if self._resync_period_s > 0:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._resync())
                group.create_task(self._list_and_watch())
        else:
            await self._list_and_watch()

    async def _list_and_watch(self) -> None:
        backoff = Backoff(self._client.random, RELIST_FIRST_DELAY_S, RELIST_MAX_DELAY_S)
        while True:
            try:
                await self._list()
                backoff.reset()
                await self._watch()
            except StatusError as error:
                if self._optional and is_not_found(error):
                    await self._not_served()
                    continue
                self._refused(error)
            except ConnectionFailed as error:
                self._complain("list failed", str(error))
            await self._client.clock.sleep(backoff.next_s())

    def _refused(self, error: StatusError) -> None:
        """History is gone, or the replica is behind what we have seen: list again, from the store itself."""
        if is_gone(error) or _too_large_version(error):
            self._list_version = ""
            log.info("listing again", resource=str(self.gvr), why=error.message)
        else:
            self._complain("list or watch refused", error.message)

    async def _not_served(self) -> None:
        await self._replace(())
        self._synced.set()
        await self._client.clock.sleep(LOOK_FOR_API_S)

    def _complain(self, what: str, why: str) -> None:
        """Once for each reason: while a server starts, everybody is refused for a moment."""
        level = log.debug if why == self._complaint else log.warning
        self._complaint = why
        level(what, resource=str(self.gvr), error=why)

    async def _list(self) -> None:
        items: Objects = []
        page_token = ""
        while True:
            page = await self._client.list(
                self.gvr,
                self._query.namespace,
                self._query.label_selector,
                self._query.field_selector,
                limit=LIST_PAGE,
                resource_version="" if page_token else self._list_version,
                continue_token=page_token,
            )
            items += map(self._transform, page.items)  # page by page: whole objects are many times larger
            page_token = page.continue_token
            if not page_token:
                break
        self._complaint = ""
        await self._replace(items)
        self._query.resource_version = page.resource_version
        self._moved()
        self._synced.set()

    async def _watch(self) -> None:
        async with aclosing(watching.batches(self._client, self._query)) as stream:
            async for batch in stream:
                for start in range(0, len(batch), EVENTS_PER_TURN):
                    for event in batch[start : start + EVENTS_PER_TURN]:
                        self._apply(event)
                    if start + EVENTS_PER_TURN < len(batch):
                        await asyncio.sleep(0)
                self._moved()

    def _moved(self) -> None:
        self._list_version = self._query.resource_version
        self._applied_version = int(self._list_version)

    # ---- from events to the store and its handlers

    async def _replace(self, items: Iterable[Obj]) -> None:
        """`items` are transformed already."""
        gone = self._store.keys()
        for count, obj in enumerate(items, start=1):
            gone.discard(key_of(obj))
            self._put(obj)
            if count % EVENTS_PER_TURN == 0:
                await asyncio.sleep(0)
        for key in gone:
            self._remove(key)

    def _apply(self, event: WatchEvent) -> None:
        if event.type == BOOKMARK:
            return
        if event.type == DELETED:
            self._remove(key_of(event.object), self._transform(event.object))
        else:
            self._put(self._transform(event.object))

    def _put(self, obj: Obj) -> None:
        old = self._store.get(*key_of(obj))
        if old is not None and old["metadata"].get("uid") != obj["metadata"].get("uid"):
            self._remove(key_of(obj))
            old = None
        self._store.put(obj)
        if old is None:
            for handler in self._handlers:
                handler.added(obj)
        elif old["metadata"].get("resourceVersion") != obj["metadata"].get("resourceVersion"):
            for handler in self._handlers:
                handler.updated(old, obj)

    def _remove(self, key: tuple[str, str], final: Obj | None = None) -> None:
        """`final` is the state at deletion; without it the last one known is told."""
        old = self._store.remove(key)
        if old is None:
            return
        for handler in self._handlers:
            handler.deleted(final or old)

    async def _resync(self) -> None:
        while True:
            await self._client.clock.sleep(self._resync_period_s)
            for obj in self._store.list():
                for handler in self._handlers:
                    handler.updated(obj, obj)


class InformerFactory:
    """The informers of a process, one per kind and selection. Those asked for after `start` start at once."""

    def __init__(self, client: Client, resync_period_s: float = 0.0) -> None:
        self._client = client
        self._resync_period_s = resync_period_s
        self._informers: dict[tuple[GVR, str, str, str], Informer] = {}
        self._tasks: dict[tuple[GVR, str, str, str], asyncio.Task[None]] = {}
        self._started = False

    def informer(
        self,
        gvr: GVR,
        namespace: str = "",
        field_selector: str = "",
        label_selector: str = "",
        transform: Transform = drop_managed_fields,
        optional: bool = False,
    ) -> Informer:
        """The first to ask for a selection decides its `transform`, and whether it is optional."""
        key = (gvr, namespace, field_selector, label_selector)
        if key not in self._informers:
            self._informers[key] = Informer(
                self._client,
                gvr,
                namespace,
                field_selector,
                label_selector,
                transform,
                self._resync_period_s,
                optional,
            )
            if self._started:
                self._run(key)
        return self._informers[key]

    def of_all(self, gvr: GVR) -> Informer | None:
        """The informer of a whole kind, if anybody has asked for it."""
        return self._informers.get((gvr, "", "", ""))

    async def start(self) -> None:
        self._started = True
        for key in self._informers:
            if key not in self._tasks:
                self._run(key)

    @property
    def synced(self) -> bool:
        """Every informer has its first list."""
        return all(informer.synced for informer in self._informers.values())

    async def wait_synced(self) -> None:
        for informer in list(self._informers.values()):
            await informer.wait_synced()

    async def stop(self) -> None:
        self._started = False
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _run(self, key: tuple[GVR, str, str, str]) -> None:
        name = f"informer {key[0]}"
        self._tasks[key] = asyncio.get_running_loop().create_task(self._informers[key].run(), name=name)


def _too_large_version(error: StatusError) -> bool:
    """A replica that lags behind what we have already seen (504 Timeout, cause ResourceVersionTooLarge)."""
    causes = (error.details or {}).get("causes") or ()
    return any(cause.get("reason") == "ResourceVersionTooLarge" for cause in causes)
