"""What runs besides the requests: seats are lent anew every period, bootstrap objects maintained, and each schema
says in its status whether its level is there."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from control_plane.api import errors, meta
from control_plane.api.flowcontrol import GROUP, SCHEMAS
from control_plane.apiserver.flowcontrol.fairness import Fairness, level_of
from control_plane.apiserver.flowcontrol.maintenance import Storage, maintain
from control_plane.apiserver.watch_cache.cache import ResourceCache
from store.client.errors import StoreError
from store.component import logs

BORROWING_PERIOD_S = 10.0
MAINTENANCE_PERIOD_S = 60.0
MAX_STATUS_UPDATES = 6  # of one schema in STATUS_WINDOW_S: two servers that disagree must not write for ever
STATUS_WINDOW_S = 60.0
STATUS_PERIOD_S = 1.0  # what was missed is seen then

Object = dict[str, Any]

log = logs.get("apiserver.flowcontrol")


class Controller:
    """`await run()` for the life of the process, once the caches are filled."""

    def __init__(
        self, fairness: Fairness, storage: Storage, schemas: ResourceCache, levels: ResourceCache
    ) -> None:
        self._fairness = fairness
        self._storage = storage
        self._schemas = schemas
        self._levels = levels
        self._written: dict[str, deque[float]] = {}

    async def maintain(self) -> None:
        """Raises StoreError, StatusError."""
        await maintain(self._storage, self._levels.objects(), self._schemas.objects())

    async def run(self) -> None:
        await asyncio.gather(self._rebalance(), self._maintain(), self._say_status())

    async def _rebalance(self) -> None:
        while True:
            await asyncio.sleep(BORROWING_PERIOD_S)
            self._fairness.rebalance()

    async def _maintain(self) -> None:
        while True:
            await asyncio.sleep(MAINTENANCE_PERIOD_S)
            try:
                await self.maintain()
            except (StoreError, errors.StatusError) as error:
                log.warning("cannot maintain the bootstrap objects, trying again", reason=error)

    async def _say_status(self) -> None:
        said: tuple[int, int] | None = None
        while True:
            seen = self._schemas.changed_at, self._levels.changed_at
            if seen == said:
                await self._changed()
                continue
            said = seen if await self._say_all() else None
            if said is None:
                await asyncio.sleep(STATUS_PERIOD_S)

    async def _say_all(self) -> bool:
        """Whether every schema's status is as it should be now."""
        self._fairness.refresh()
        names = {meta.name_of(each) for each in self._levels.objects()}
        schemas = self._schemas.objects()
        present = {meta.name_of(each) for each in schemas}
        self._written = {name: when for name, when in self._written.items() if name in present}
        return all([await self._say(schema, level_of(schema) in names) for schema in schemas])

    async def _changed(self) -> None:
        waits = [asyncio.create_task(cache.wait(STATUS_PERIOD_S)) for cache in (self._schemas, self._levels)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()

    async def _say(self, schema: Object, found: bool) -> bool:
        now_s = asyncio.get_running_loop().time()
        changed = with_condition(schema, found, meta.now_rfc3339())
        if changed is None:
            return True
        name = meta.name_of(schema)
        written = self._written.setdefault(name, deque(maxlen=MAX_STATUS_UPDATES))
        if len(written) == MAX_STATUS_UPDATES and now_s - written[0] < STATUS_WINDOW_S:
            return False
        written.append(now_s)
        try:
            await self._storage.update(GROUP, SCHEMAS, changed)
        except (StoreError, errors.StatusError) as error:
            if not (errors.is_conflict(error) or errors.is_not_found(error)):
                log.warning("cannot write a status", flowschema=name, reason=error)
            return False
        return True


def with_condition(schema: Object, found: bool, now: str) -> Object | None:
    """The schema with its Dangling condition; None if it has it already."""
    what = "and it exists" if found else "but there is no such object"
    wanted = {
        "type": "Dangling",
        "status": "False" if found else "True",
        "reason": "Found" if found else "NotFound",
        "message": f'This FlowSchema references the PriorityLevelConfiguration object named "{level_of(schema)}"'
        f" {what}",
    }
    said = meta.condition(schema, "Dangling")
    if said is not None and all(said.get(key) == value for key, value in wanted.items()):
        return None
    status = schema.get("status") or {}
    others = [each for each in status.get("conditions") or () if each.get("type") != "Dangling"]
    stamped = {**wanted, "lastTransitionTime": now}
    return {**schema, "status": {**status, "conditions": [*others, stamped]}}
