"""How admission, authentication and authorization read and write objects: the cache, and the store behind it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from control_plane.api import errors
from control_plane.api.registry import Registry, Resource
from control_plane.apiserver.storage import keys
from control_plane.apiserver.storage.objects import Changed, Objects
from control_plane.apiserver.watch_cache.feed import Feed
from control_plane.apiserver.watch_cache.freshness import Freshness
from store.client.errors import StoreError

Object = dict[str, Any]


class CacheReader:
    """`get` and `list` return shared objects, which must not be changed. The list of a whole resource is the same
    tuple until something in it changes, so that who derives an index from it can tell by identity."""

    def __init__(self, feed: Feed, objects: Objects, registry: Registry, freshness: Freshness) -> None:
        self._feed = feed
        self._objects = objects
        self._registry = registry
        self._freshness = freshness

    def get(self, group: str, resource: str, namespace: str, name: str) -> Object | None:
        return self._feed.cache(group, resource).object(keys.item(namespace, name))

    def list(self, group: str, resource: str, namespace: str = "") -> Sequence[Object]:
        return self._feed.cache(group, resource).objects(keys.item_prefix(namespace))

    async def get_live(self, group: str, resource: str, namespace: str, name: str) -> Object | None:
        """Raises StoreError."""
        stored = await self._objects.read(self._resource(group, resource), namespace, name)
        return stored.object if stored else None

    async def catch_up(self) -> None:
        with suppress(StoreError):  # then what is known now has to do
            await self._freshness.caught_up()

    async def update_status(self, group: str, resource: str, obj: Object) -> Object:
        """Compare-and-swap on the object's resourceVersion. Raises StatusError Conflict, StoreError."""
        metadata = obj["metadata"]
        name, namespace = metadata["name"], metadata.get("namespace", "")
        expected = int(metadata["resourceVersion"])
        described = self._resource(group, resource)
        try:
            revision = await self._objects.swap(described, namespace, name, expected, obj)
        except Changed as error:
            raise errors.conflict(group, resource, name) from error
        return {**obj, "metadata": {**metadata, "resourceVersion": str(revision)}}

    def _resource(self, group: str, resource: str) -> Resource:
        found = self._registry.find(group, resource)
        assert found is not None, f"{resource}.{group} is not served"
        return self._registry.storage(found)
