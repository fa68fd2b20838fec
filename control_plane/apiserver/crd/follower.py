"""Keeps the registry of this replica in line with the CustomResourceDefinitions in the watch cache.

A definition is served once its Established condition is true. `sync` is cheap when nothing has changed; who meets a
path that is not served asks `refresh` before saying so, so that a definition that was established through another
replica is never missed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from control_plane.apiserver.core import Core
from control_plane.apiserver.crd.conversion import WebhookFor
from control_plane.apiserver.crd.served import Served, is_served, served
from control_plane.apiserver.watch_cache.cache import ResourceCache
from store.component import logs

GROUP, RESOURCE = "apiextensions.k8s.io", "customresourcedefinitions"
MAX_SILENCE_S = 60.0

Object = dict[str, Any]
OnChange = Callable[[Served | None, Served | None], None]

log = logs.get("apiserver.crd")


class Follower:
    """`await run()` for the life of the process. `on_change` is told of each (before, after)."""

    def __init__(self, core: Core, webhook_for: WebhookFor, on_change: OnChange) -> None:
        self._core = core
        self._webhook_for = webhook_for
        self._on_change = on_change
        self._served: dict[str, Served] = {}
        self._seen: dict[str, int] = {}  # every definition, with the revision it was looked at
        self._seen_at = -1

    @property
    def cache(self) -> ResourceCache:
        return self._core.feed.cache(GROUP, RESOURCE)

    async def run(self) -> None:
        await self._core.feed.synced.wait()
        while True:
            self.sync()
            await self.cache.wait(MAX_SILENCE_S)

    async def refresh(self) -> None:
        """Take in all definitions that were written before the call. Raises StoreError."""
        await self._core.freshness.caught_up()
        self.sync()

    def find(self, name: str) -> Served | None:
        return self._served.get(name)

    def sync(self) -> None:
        cache = self.cache
        if cache.changed_at == self._seen_at:
            return
        self._seen_at = cache.changed_at
        there = dict(cache.entries())
        for name in [name for name in self._seen if name not in there]:
            del self._seen[name]
            self._replace(name, None)
        for name, entry in there.items():
            if self._seen.get(name) != entry.revision:
                self._seen[name] = entry.revision
                self._take(name, entry.object(), entry.revision)

    def _take(self, name: str, definition: Object, revision: int) -> None:
        before = self._served.get(name)
        if not is_served(definition):
            self._replace(name, None)
        elif before is None or before.serves != serves(definition):
            self._replace(name, served(definition, serves(definition), self._webhook_for))

    def _replace(self, name: str, after: Served | None) -> None:
        before = self._served.pop(name, None)
        if before is None and after is None:
            return
        registry, feed = self._core.registry, self._core.feed
        kept = {each.gvr for each in after.resources} if after else set()
        if before is not None:
            registry.remove(*(each for each in before.resources if each.gvr not in kept))
        if after is not None:
            self._served[name] = after
            feed.set_normal(after.storage.group, after.storage.resource, _normalizer(after))
            registry.add(*after.resources)
        elif before is not None:
            feed.forget_normal(before.storage.group, before.storage.resource)
        if before is not None:
            self._core.cache(before.storage).cut()
        self._on_change(before, after)
        shown = [each.api_version for each in after.resources] if after else []
        log.info("custom resource", name=name, versions=",".join(shown))


def serves(definition: Object) -> bytes:
    """What decides how a definition is served, for comparison."""
    status = definition.get("status") or {}
    conditions = {each.get("type"): each.get("status") for each in status.get("conditions") or ()}
    return orjson.dumps(
        [definition["metadata"]["uid"], definition["spec"], status.get("acceptedNames"), conditions]
    )


def _normalizer(after: Served) -> Callable[[bytes], bytes]:
    """Objects as the schema of the version they are stored in would have them today."""
    by_api_version = {f"{after.storage.group}/{name}": kind for name, kind in after.versions.items()}

    def normalize(raw: bytes) -> bytes:
        obj = orjson.loads(raw)
        kind = by_api_version.get(obj["apiVersion"])
        if kind is None:
            return raw
        kind.normalize(obj)
        made = orjson.dumps(obj)
        return raw if made == raw else made

    return normalize
