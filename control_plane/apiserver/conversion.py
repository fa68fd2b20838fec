"""Between the version an object is stored in and the version a client asked for.

Built-ins are worked on in their storage version and converted (`to_version`, `to_storage`) where a client asked
for another. Custom resources are worked on in the version of the request; they are converted at the border to
the store, because that may take a call to a webhook: everything that comes out goes through `working`,
`working_bytes` or `working_changes`, and everything that goes in through `storable`. `shows` is for those who
look at one object in several versions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from control_plane.api import schema
from control_plane.api.conversion import convert
from control_plane.api.copying import copied
from control_plane.api.registry import Registry, Resource
from control_plane.apiserver.patch.apply import Show, Shown
from control_plane.apiserver.storage import codec
from control_plane.apiserver.storage.objects import Stored
from control_plane.apiserver.watch_cache.entry import Change, Entry

Object = dict[str, Any]


def to_version(stored: Object, resource: Resource) -> Object:
    """A stored object in the version of `resource`; the same object where there is nothing to convert."""
    return stored if resource.is_storage_version or resource.custom else convert(stored, resource.api_version)


def to_storage(obj: Object, resource: Resource) -> Object:
    """An object of the version of `resource` as it is stored."""
    if resource.is_storage_version or resource.custom:
        return obj
    return convert(obj, resource.storage_api_version)


async def working(resource: Resource, stored: Stored) -> Stored:
    """What was read, ready to be worked on. Raises StatusError."""
    custom = resource.custom_kind
    if custom is None:
        return stored
    before = stored.object["apiVersion"]
    if before == resource.api_version:
        custom.normalize(stored.object)
        obj = stored.object
    else:
        obj = (await custom.convert([stored.object]))[0]
    return Stored(obj, stored.revision, stale=before != custom.stored_api_version)


async def storable(resource: Resource, obj: Object) -> Object:
    """What was worked on, as it is stored. Raises StatusError."""
    return obj if resource.custom_kind is None else await resource.custom_kind.store(obj)


async def working_bytes(resource: Resource, raws: list[bytes]) -> list[bytes]:
    """Objects from the cache, as JSON, in the version they are worked on in. Raises StatusError."""
    custom = resource.custom_kind
    if custom is None:
        return raws
    foreign = _foreign(resource, raws)
    if not foreign:
        return raws
    converted = await custom.convert([codec.decode(raws[index]) for index in foreign])
    found = list(raws)
    for index, obj in zip(foreign, converted, strict=True):
        found[index] = orjson.dumps(obj)
    return found


async def working_changes(resource: Resource, changes: Sequence[Change]) -> Sequence[Change]:
    """The same for changes from the history. Raises StatusError."""
    if resource.custom_kind is None:
        return changes
    entries = [entry for change in changes for entry in (change.entry, change.previous) if entry is not None]
    if not _foreign(resource, [entry.raw for entry in entries]):
        return changes
    raws = await working_bytes(resource, [entry.raw for entry in entries])
    made = {id(entry): Entry(raw, entry.revision) for entry, raw in zip(entries, raws, strict=True)}
    return [
        Change(
            change.item,
            change.revision,
            made[id(change.entry)] if change.entry is not None else None,
            made[id(change.previous)] if change.previous is not None else None,
        )
        for change in changes
    ]


def shows(registry: Registry, resource: Resource) -> Show:
    """Objects of the version of `resource` in the others that its kind has: for the bookkeeping of managers."""

    async def show(objects: Sequence[Object], api_version: str) -> Shown | None:
        own = resource.custom_kind
        if own is not None:
            custom = own.version(api_version)
            return (await custom.convert(copied(objects)), custom.node) if custom is not None else None
        other = registry.by_api_version(api_version, resource.kind)
        if other is None or other.custom or other.storage_api_version != resource.storage_api_version:
            return None
        return [_between(each, other) for each in objects], schema.lookup(*other.gvk)

    return show


def _between(obj: Object, other: Resource) -> Object:
    return convert(convert(obj, other.storage_api_version), other.api_version)


def _foreign(resource: Resource, raws: Sequence[bytes]) -> list[int]:
    """Which of them are of another version."""
    head = b'{"apiVersion":"%b"' % resource.api_version.encode()
    return [index for index, raw in enumerate(raws) if not raw.startswith(head)]
