"""Writes the status of CustomResourceDefinitions, and deletes the instances of those that are deleted.

It runs in every replica. Each decides by the same rules from the same cache, in the order in which definitions were
created, and writes by compare-and-swap: who comes second finds nothing left to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from copy import deepcopy
from typing import Any

from control_plane.api import meta
from control_plane.api.errors import StatusError
from control_plane.api.registry import Resource
from control_plane.apiserver.core import Core
from control_plane.apiserver.crd import cleanup, naming
from control_plane.apiserver.crd.follower import GROUP, RESOURCE, Follower
from control_plane.apiserver.crd.served import is_served, storage_resource
from control_plane.apiserver.storage.objects import Changed
from control_plane.apiserver.watch_cache.cache import ResourceCache
from store.client.errors import StoreError
from store.component import logs

RETRY_DELAY_S = 1.0
MAX_SILENCE_S = 60.0

Object = dict[str, Any]
DeleteInstance = Callable[[Resource, str, str], Awaitable[None]]

log = logs.get("apiserver.crd")


class Controller:
    """`await run()` for the life of the process. `delete_instance` takes resource, namespace and name."""

    def __init__(self, core: Core, follower: Follower, delete_instance: DeleteInstance) -> None:
        self._core = core
        self._follower = follower
        self._delete_instance = delete_instance
        self._cleaning: dict[str, asyncio.Task[None]] = {}

    @property
    def _cache(self) -> ResourceCache:
        return self._core.feed.cache(GROUP, RESOURCE)

    async def run(self) -> None:
        await self._core.feed.synced.wait()
        try:
            while True:
                seen = self._cache.changed_at
                settled = await self._settle()
                if self._cache.changed_at == seen:
                    await self._cache.wait(MAX_SILENCE_S if settled else RETRY_DELAY_S)
        finally:
            for task in self._cleaning.values():
                task.cancel()
            await asyncio.gather(*self._cleaning.values(), return_exceptions=True)

    async def _settle(self) -> bool:
        """Give every definition the status it should have; whether all could be written."""
        definitions = sorted(self._cache.objects(), key=_age)
        taken = naming.Taken(definitions)
        settled = True
        for definition in definitions:
            status = naming.status_of(definition, taken, self._now())
            taken.add(definition, status)
            if status != (definition.get("status") or {}):
                settled = await self._write({**definition, "status": status}) and settled
            elif cleanup.is_due(definition):
                self._clean(meta.name_of(definition))
        return settled

    async def _write(self, definition: Object) -> bool:
        """Replace the definition; whether that is settled (a lost race is: the winner's write wakes us)."""
        name, revision = meta.name_of(definition), int(meta.resource_version_of(definition))
        gone = meta.is_deleting(definition) and not meta.finalizers(definition)
        objects, resource = self._core.objects, self._definitions()
        try:
            if gone:
                await objects.remove(resource, "", name, revision)
            else:
                await objects.swap(resource, "", name, revision, definition)
        except Changed:
            return True
        except StoreError as error:
            log.warning("cannot write a definition, trying again", name=name, reason=error)
            return False
        return True

    def _clean(self, name: str) -> None:
        running = self._cleaning.get(name)
        if running is None or running.done():
            self._cleaning[name] = asyncio.create_task(self._clean_until_done(name))

    async def _clean_until_done(self, name: str) -> None:
        while (definition := self._current(name)) is not None and cleanup.is_due(definition):
            try:
                await self._clean_once(definition)
                return
            except (StatusError, StoreError) as error:
                log.warning("cannot delete all instances, trying again", name=name, reason=error)
                await self._say_failed(name, str(error))
            await asyncio.sleep(RETRY_DELAY_S)

    async def _clean_once(self, definition: Object) -> None:
        name, established = meta.name_of(definition), is_served(definition)
        if established:
            await self._say(name, lambda held: cleanup.in_progress(held, self._now()))
            await self._delete_all(storage_resource(definition))
        await self._say(name, lambda held: cleanup.finish(held, established, self._now()))

    async def _delete_all(self, resource: Resource) -> None:
        """Delete the instances and wait until they are gone; some wait for finalizers of others."""
        await self._core.freshness.caught_up()
        cache = self._core.cache(resource)
        asked: dict[str, int] = {}
        while len(cache):
            seen = cache.end
            for item, entry in list(cache.entries()):
                if asked.get(item) != entry.revision:
                    asked[item] = entry.revision
                    namespace, _, name = item.rpartition("/")
                    await self._delete_instance(resource, namespace, name)
            if cache.end == seen:
                await cache.wait(MAX_SILENCE_S)

    async def _say_failed(self, name: str, why: str) -> None:
        try:
            await self._say(name, lambda held: cleanup.failed(held, why, self._now()))
        except StoreError as error:
            log.warning("cannot write a definition", name=name, reason=error)

    async def _say(self, name: str, change: Callable[[Object], None]) -> None:
        """Apply a change to the definition as it is in the store, until it sticks. Raises StoreError."""
        while True:
            stored = await self._core.objects.read(self._definitions(), "", name)
            if stored is None or not cleanup.is_due(stored.object):
                return
            changed = deepcopy(stored.object)
            change(changed)
            if changed == stored.object:
                return
            try:
                if not meta.finalizers(changed):
                    await self._core.objects.remove(self._definitions(), "", name, stored.revision)
                else:
                    await self._core.objects.swap(self._definitions(), "", name, stored.revision, changed)
            except Changed:
                continue
            return

    def _current(self, name: str) -> Object | None:
        return self._cache.object(name)

    def _definitions(self) -> Resource:
        found = self._core.registry.find(GROUP, RESOURCE)
        assert found is not None, "definitions are built in"
        return found

    def _now(self) -> str:
        return meta.rfc3339(self._core.clock())


def _age(definition: Object) -> tuple[str, str]:
    return meta.metadata(definition).get("creationTimestamp", ""), meta.uid_of(definition)
