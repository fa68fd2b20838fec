"""storage-version-migrator: writes every object of a resource anew, so that the store holds it as it is written
now: in the newest version, encrypted with the newest key.

A StorageVersionMigration names the resource. Each object gets a patch that changes nothing, with its uid and
resourceVersion: who has changed it meanwhile has written it anew already. What was done is not noted, since doing
it again does no harm. The API is off by default.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_conflict, is_gone, is_not_found
from control_plane.api.meta import Object
from control_plane.client.gvr import STORAGE_VERSION_MIGRATIONS
from control_plane.controllers.context import Context
from control_plane.controllers.controller import Controller
from control_plane.controllers.discovery import Served, served_resources

PAGE = 500
WRITES_AT_ONCE = 16
RUNNING, SUCCEEDED, FAILED = "Running", "Succeeded", "Failed"


def is_over(migration: Object) -> bool:
    return meta.condition_is_true(migration, SUCCEEDED) or meta.condition_is_true(migration, FAILED)


def with_condition(migration: Object, type_: str, reason: str, message: str, now: float) -> Object:
    """True; and of the others, Running ends when another one comes."""
    conditions = {each["type"]: each for each in meta.nested(migration, "status", "conditions", default=())}
    stamp = meta.rfc3339(now)
    if type_ != RUNNING and RUNNING in conditions:
        conditions[RUNNING] = {**conditions[RUNNING], "status": "False", "lastTransitionTime": stamp}
    conditions[type_] = {
        "type": type_,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": stamp,
    }
    return {
        **migration,
        "status": {**(migration.get("status") or {}), "conditions": list(conditions.values())},
    }


def named_by(migration: Object, served: list[Served]) -> Served | None:
    wanted = migration["spec"]["resource"]
    return next(
        (
            each
            for each in served
            if (each.gvr.group, each.gvr.resource) == (wanted.get("group", ""), wanted["resource"])
        ),
        None,
    )


class StorageVersionMigrator(Controller):
    name = "storage-version-migrator"
    account = "storage-version-migrator-controller"
    workers: ClassVar[int] = 1  # one resource at a time is load enough

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.reconcile_each(self.informer(STORAGE_VERSION_MIGRATIONS, optional=True))

    async def reconcile(self, key: str) -> float | None:
        migration = await self._latest(key)
        if migration is None or meta.is_deleting(migration) or is_over(migration):
            return None
        served = named_by(migration, await served_resources(self.client))
        if served is None or not {"list", "patch"} <= served.verbs:
            text = "the resource is not served, or cannot be listed and patched"
            await self._write(migration, FAILED, "ResourceNotFound", text)
            return None
        if not meta.condition_is_true(migration, RUNNING):
            migration = await self._write(migration, RUNNING, "StorageVersionMigrationInProgress", "")
        try:
            await self._migrate(served)
        except StatusError as error:
            if error.code >= 500 or is_conflict(error) or is_gone(error):
                raise  # from the beginning
            await self._write(migration, FAILED, "StorageVersionMigrationFailed", str(error))
            return None
        await self._write(migration, SUCCEEDED, "StorageVersionMigrationSucceeded", "")
        return None

    async def _latest(self, name: str) -> Object | None:
        """The informer may not show yet that it is over: to begin again would be a lot of work."""
        try:
            return await self.client.get(STORAGE_VERSION_MIGRATIONS, name)
        except StatusError as error:
            if not is_not_found(error):
                raise
            return None

    async def _migrate(self, served: Served) -> None:
        page = ""
        while True:
            listed = await self.client.list(served.gvr, limit=PAGE, continue_token=page)
            for start in range(0, len(listed.items), WRITES_AT_ONCE):
                some = listed.items[start : start + WRITES_AT_ONCE]
                await asyncio.gather(*(self._rewrite(served, each) for each in some))
            page = listed.continue_token
            if not page:
                return

    async def _rewrite(self, served: Served, obj: Object) -> None:
        patch = {"metadata": {"uid": meta.uid_of(obj), "resourceVersion": meta.resource_version_of(obj)}}
        try:
            await self.client.patch(served.gvr, meta.name_of(obj), patch, meta.namespace_of(obj))
        except StatusError as error:
            if not (is_not_found(error) or is_conflict(error)):
                raise

    async def _write(self, migration: Object, type_: str, reason: str, message: str) -> Object:
        changed = with_condition(migration, type_, reason, message, self.context.now())
        return await self.client.update(STORAGE_VERSION_MIGRATIONS, changed, "status")
