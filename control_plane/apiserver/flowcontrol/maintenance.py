"""Keeps the bootstrap objects as this version of the server wants them.

A mandatory object is put back whatever was done to it; a suggested one is put back unless its autoupdate annotation
says "false" (without an annotation it counts as managed until somebody has changed it). Objects of other versions
that are still annotated "true" are removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from control_plane.api import errors, meta
from control_plane.api import flowcontrol as bootstrap
from control_plane.api.flowcontrol import AUTO_UPDATE, GROUP, LEVELS, SCHEMAS

Object = dict[str, Any]


class Storage(Protocol):
    """Writes of the server itself."""

    async def get(self, group: str, resource: str, namespace: str, name: str) -> Object | None: ...

    async def create(self, group: str, resource: str, obj: Object) -> Object: ...

    async def update(self, group: str, resource: str, obj: Object) -> Object: ...

    async def delete(self, group: str, resource: str, namespace: str, name: str) -> None: ...


async def maintain(storage: Storage, levels: Sequence[Object], schemas: Sequence[Object]) -> None:
    """`levels` and `schemas` are what there is. Raises StoreError. Safe on several replicas at once."""
    present = {LEVELS: levels, SCHEMAS: schemas}
    wanted = {
        LEVELS: (bootstrap.mandatory_levels(), bootstrap.suggested_levels()),
        SCHEMAS: (bootstrap.mandatory_schemas(), bootstrap.suggested_schemas()),
    }
    for resource, (mandatory, suggested) in wanted.items():
        for obj in mandatory:
            await _ensure(storage, resource, obj, mandatory=True)
        for obj in suggested:
            await _ensure(storage, resource, obj, mandatory=False)
        names = {each["metadata"]["name"] for each in [*mandatory, *suggested]}
        for obj in present[resource]:
            if meta.name_of(obj) not in names and meta.annotations(obj).get(AUTO_UPDATE) == "true":
                await _remove(storage, resource, meta.name_of(obj))


async def _ensure(storage: Storage, resource: str, wanted: Object, *, mandatory: bool) -> None:
    """Another replica that was faster has done the same."""
    try:
        current = await storage.get(GROUP, resource, "", wanted["metadata"]["name"])
        if current is None:
            await storage.create(GROUP, resource, wanted)
        elif (changed := updated(current, wanted, mandatory=mandatory)) is not None:
            await storage.update(GROUP, resource, changed)
    except errors.StatusError as error:
        if not (errors.is_conflict(error) or errors.is_already_exists(error)):
            raise


async def _remove(storage: Storage, resource: str, name: str) -> None:
    try:
        await storage.delete(GROUP, resource, "", name)
    except errors.StatusError as error:
        if not (errors.is_conflict(error) or errors.is_not_found(error)):
            raise


def updated(current: Object, wanted: Object, *, mandatory: bool) -> Object | None:
    """`current` as it should be; None if it is."""
    said = meta.annotations(current).get(AUTO_UPDATE)
    generation = int(current["metadata"].get("generation") or 1)
    if mandatory or said == "true":
        manages = True
    else:
        manages = said != "false" and generation == 1
    spec = _spec(current, wanted) if manages else current["spec"]
    annotation = "true" if manages else "false"
    if spec == current["spec"] and said == annotation:
        return None
    annotations = {**meta.annotations(current), AUTO_UPDATE: annotation}
    metadata = {**current["metadata"], "annotations": annotations}
    if spec != current["spec"]:
        metadata["generation"] = generation + 1
    return {**current, "metadata": metadata, "spec": spec}


def _spec(current: Object, wanted: Object) -> Object:
    """The exempt level's shares are its administrator's."""
    spec: Object = wanted["spec"]
    if spec.get("type") != "Exempt":
        return spec
    return {**spec, "exempt": {**spec["exempt"], **(current["spec"].get("exempt") or {})}}
