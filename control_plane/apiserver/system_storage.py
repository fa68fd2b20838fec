"""Writes of the apiserver itself (bootstrap, default roles): defaulted and compared-and-swapped like any other, but
neither authorized nor admitted."""

from __future__ import annotations

from typing import Any

from control_plane.api import errors, meta
from control_plane.api.registry import Resource
from control_plane.apiserver import hooks, patch_schema, rules
from control_plane.apiserver.core import Core
from control_plane.apiserver.patch.apply import track_create
from control_plane.apiserver.storage import keys
from control_plane.apiserver.storage.objects import Changed

MANAGER = "kube-apiserver"

Object = dict[str, Any]


class SystemStorage:
    """Raises StatusError NotFound, AlreadyExists, Conflict, and StoreError."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def get(self, group: str, resource: str, namespace: str, name: str) -> Object | None:
        """A copy of the caller's own."""
        described = self._resource(group, resource)
        entry = self._core.cache(described).get(keys.item(namespace, name))
        if entry is not None:
            return entry.object()
        stored = await self._core.objects.read(described, namespace, name)
        return stored.object if stored else None

    async def create(self, group: str, resource: str, obj: Object) -> Object:
        core, described = self._core, self._resource(group, resource)
        metadata = obj["metadata"]
        name, namespace = metadata["name"], metadata.get("namespace", "")
        rules.default(described, obj)
        now = meta.rfc3339(core.clock())
        track_create(obj, patch_schema.node_of(described), MANAGER, now, "status")
        rules.prepare_for_create(described, obj)
        metadata["uid"] = core.new_uid()
        metadata["creationTimestamp"] = now
        prepare = hooks.on_create(described)
        also = await prepare(core, obj) if prepare else None
        try:
            revision = await core.objects.create(described, namespace, name, obj, also)
        except Changed as error:
            raise errors.already_exists(group, resource, name) from error
        metadata["resourceVersion"] = str(revision)
        return obj

    async def update(self, group: str, resource: str, obj: Object) -> Object:
        metadata = obj["metadata"]
        name, namespace = metadata["name"], metadata.get("namespace", "")
        expected = int(metadata["resourceVersion"])
        try:
            revision = await self._core.objects.swap(
                self._resource(group, resource), namespace, name, expected, obj
            )
        except Changed as error:
            raise errors.conflict(group, resource, name) from error
        metadata["resourceVersion"] = str(revision)
        return obj

    async def delete(self, group: str, resource: str, namespace: str, name: str) -> None:
        described = self._resource(group, resource)
        stored = await self._core.objects.read(described, namespace, name)
        if stored is None:
            raise errors.not_found(group, resource, name)
        try:
            await self._core.objects.remove(described, namespace, name, stored.revision)
        except Changed as error:
            raise errors.conflict(group, resource, name) from error

    async def ensure(self, obj: Object) -> bool:
        """Create the object unless it exists; whether it was created."""
        group, _ = meta.group_version(obj["apiVersion"])
        described = self._core.registry.by_api_version(obj["apiVersion"], obj["kind"])
        assert described is not None, f"{obj['kind']} is not served"
        if keys.item(meta.namespace_of(obj), meta.name_of(obj)) in self._core.cache(described):
            return False
        try:
            await self.create(group, described.resource, obj)
        except errors.StatusError as error:
            if not errors.is_already_exists(error):
                raise
            return False
        return True

    def _resource(self, group: str, resource: str) -> Resource:
        found = self._core.registry.find(group, resource)
        assert found is not None, f"{resource}.{group} is not served"
        return self._core.registry.storage(found)
