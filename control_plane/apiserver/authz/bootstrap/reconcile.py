"""Brings the stored default roles and bindings up to date, and never takes anything away.

What an administrator added stays; what is missing is put back, unless the object's autoupdate annotation says
"false". A binding whose role differs must be made anew, since a role reference cannot change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from control_plane.api import errors, meta
from control_plane.apiserver.authz.bootstrap import policy
from control_plane.apiserver.authz.rbac import GROUP
from control_plane.apiserver.authz.rules import uncovered

Object = dict[str, Any]

MAX_ATTEMPTS = 5
PARALLEL_WRITES = 8


class Storage(Protocol):
    """Writes of the server itself: no authentication, no admission."""

    async def get(self, group: str, resource: str, namespace: str, name: str) -> Object | None: ...

    async def create(self, group: str, resource: str, obj: Object) -> Object: ...

    async def update(self, group: str, resource: str, obj: Object) -> Object:
        """Compare-and-swap on the resourceVersion. Raises StatusError Conflict."""

    async def delete(self, group: str, resource: str, namespace: str, name: str) -> None: ...


async def ensure_default_policy(storage: Storage) -> None:
    """Create or extend every default role and binding; roles before bindings. Safe on several replicas at
    once."""
    roles, bindings = policy.namespaced()
    await _ensure_all(storage, "clusterroles", policy.cluster_roles())
    await _ensure_all(storage, "clusterrolebindings", policy.cluster_role_bindings())
    await _ensure_all(storage, "roles", roles)
    await _ensure_all(storage, "rolebindings", bindings)


async def _ensure_all(storage: Storage, resource: str, wanted: Sequence[Object]) -> None:
    slots = asyncio.Semaphore(PARALLEL_WRITES)

    async def one(obj: Object) -> None:
        async with slots:
            await ensure(storage, resource, obj)

    await asyncio.gather(*(one(obj) for obj in wanted))


async def ensure(storage: Storage, resource: str, wanted: Object) -> None:
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            await _ensure_once(storage, resource, wanted)
            return
        except errors.StatusError as error:
            raced = errors.is_conflict(error) or errors.is_already_exists(error) or errors.is_not_found(error)
            if not raced or attempt == MAX_ATTEMPTS:
                raise


async def _ensure_once(storage: Storage, resource: str, wanted: Object) -> None:
    namespace, name = meta.namespace_of(wanted), meta.name_of(wanted)
    existing = await storage.get(GROUP, resource, namespace, name)
    if existing is None:
        await storage.create(GROUP, resource, wanted)
        return
    if meta.annotations(existing).get(policy.AUTO_UPDATE) == "false":
        return
    if "roleRef" in wanted and existing.get("roleRef") != wanted["roleRef"]:
        await storage.delete(GROUP, resource, namespace, name)
        await storage.create(GROUP, resource, wanted)
        return
    changed = extended(existing, wanted)
    if changed is not None:
        await storage.update(GROUP, resource, changed)


def extended(existing: Object, wanted: Object) -> Object | None:
    """The existing object with all that is wanted; None if it has it already."""
    changed = dict(existing)
    metadata = dict(meta.metadata(existing))
    for field in ("labels", "annotations"):
        metadata[field] = {**(wanted["metadata"].get(field) or {}), **(metadata.get(field) or {})}
    changed["metadata"] = metadata
    if "subjects" in wanted:
        changed["subjects"] = _union(existing.get("subjects") or [], wanted["subjects"])
    elif "aggregationRule" in wanted:
        changed["aggregationRule"] = _aggregation(
            existing.get("aggregationRule") or {}, wanted["aggregationRule"]
        )
    else:
        rules = existing.get("rules") or []
        changed["rules"] = [*rules, *(r for r in wanted["rules"] if uncovered(rules, [r]))]
    return None if _same(changed, existing) else changed


def _same(changed: Object, existing: Object) -> bool:
    """Equal but for empty lists and maps, which storage may leave out."""
    keys = changed.keys() | existing.keys()
    return all(
        (changed.get(key) or None) == (existing.get(key) or None) for key in keys - {"metadata"}
    ) and all(
        (meta.metadata(changed).get(key) or None) == (meta.metadata(existing).get(key) or None)
        for key in ("labels", "annotations")
    )


def _union(present: list[Object], wanted: list[Object]) -> list[Object]:
    return [*present, *(subject for subject in wanted if subject not in present)]


def _aggregation(present: Object, wanted: Object) -> Object:
    selectors = _union(present.get("clusterRoleSelectors") or [], wanted["clusterRoleSelectors"])
    return {**present, "clusterRoleSelectors": selectors}
