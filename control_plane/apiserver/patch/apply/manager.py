"""Who manages which fields: server-side apply. (`tracking` keeps the books of all other writes.)

An applier owns exactly what its configuration says. Changing what another manager owns is a conflict unless
forced, which takes it over; what an applier no longer mentions and nobody else owns is removed. What an object
without bookkeeping holds belongs, at its first apply, to `before-first-apply`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from control_plane.api import errors, meta
from control_plane.api.schema import Node
from control_plane.apiserver.patch.apply import fields, last_applied
from control_plane.apiserver.patch.apply.fields import NOTHING, Paths
from control_plane.apiserver.patch.apply.merge import merge, remove
from control_plane.apiserver.patch.apply.owners import Manager, Managers, Owned
from control_plane.apiserver.patch.apply.prune import prune
from control_plane.apiserver.patch.apply.tracking import APPLY, UNMANAGED_METADATA, UPDATE
from control_plane.apiserver.patch.apply.versions import Pair, Show, Versions, unmanaged
from control_plane.apiserver.patch.errors import MalformedPatch
from control_plane.apiserver.patch.values import same

Object = dict[str, Any]

BEFORE_FIRST_APPLY = "before-first-apply"

UNMANAGED: Paths = frozenset(
    {
        ("f:apiVersion",),
        ("f:kind",),
        *(("f:metadata", "f:" + name) for name in UNMANAGED_METADATA),
    }
)


async def apply(
    live: Object | None,
    config: Object,
    node: Node | None,
    manager_name: str,
    force: bool,
    now: str,
    subresource: str = "",
    reset: Paths = NOTHING,
    show: Show | None = None,
    schema_changes: bool = False,
) -> Object:
    """The object after the configuration is applied, with its managedFields.

    `live` is None for an object that is not there yet. Both are of the version of the request; without `show`
    all versions look the same. `reset` are the fields that this endpoint does not write (`("f:status",)`, or
    `("f:spec",)` for the status): they are ignored. `schema_changes`: the schema may be another one than when the
    managedFields were made. Raises StatusError: 400 for a bad configuration, 409 for
    conflicts, and what a conversion raises.
    """
    if meta.metadata(config).get("managedFields"):
        raise errors.bad_request("metadata.managedFields must be nil")
    api_version = config.get("apiVersion", "")
    manager = Manager(manager_name, APPLY, "", subresource)
    versions = Versions(api_version, node, show)
    try:
        managers = await _managers(live or {}, versions, schema_changes)
        return await _apply(
            live, remove(config, set(reset), node), node, manager, force, now, managers, versions
        )
    except MalformedPatch as error:
        raise errors.bad_request(f"error decoding patch: {error}") from error
    except RecursionError as error:
        raise errors.bad_request("error decoding patch: exceeded max depth") from error


async def _apply(
    live: Object | None,
    config: Object,
    node: Node | None,
    manager: Manager,
    force: bool,
    now: str,
    managers: Managers,
    versions: Versions,
) -> Object:
    present = live or {}
    if live is not None and not managers.owned:
        _remember_before(managers, live, node, now)
    last = managers.owned.get(manager, Owned(NOTHING))
    wanted = frozenset(fields.flatten(config, node)) - UNMANAGED
    merged = merge(unmanaged(present), config, node)
    managers.take(manager, wanted, config.get("apiVersion", ""), now)
    pruned = await prune(merged, last, managers, versions)
    pairs = await versions.pairs(unmanaged(present), pruned, managers.by_version())
    conflicts = _conflicts(pairs, managers, manager)
    refused = {} if force else _without(conflicts, last_applied.applied_before(present, manager.name, node))
    if refused:
        raise _conflict_error(refused)
    for other, paths in conflicts.items():
        managers.give_up(other, paths)
    _forget_missing(managers, pairs)
    return _with_managers(last_applied.keep(pruned, config, manager.name), managers)


async def _managers(live: Object, versions: Versions, schema_changes: bool) -> Managers:
    managers = Managers.of(live)
    for api_version in managers.by_version() if schema_changes else ():
        shown = await versions.one(unmanaged(live), api_version)
        if shown is not None:
            managers.follow_schema(api_version, *shown)
    return managers


def _remember_before(managers: Managers, live: Object, node: Node | None, now: str) -> None:
    paths = frozenset(fields.flatten(unmanaged(live), node)) - UNMANAGED
    api_version = live.get("apiVersion", "")
    managers.owned[Manager(BEFORE_FIRST_APPLY, UPDATE, api_version)] = Owned(paths, api_version, now)


def _conflicts(pairs: Mapping[str, Pair], managers: Managers, manager: Manager) -> dict[Manager, Paths]:
    changed = {version: _changed(*pair) for version, pair in pairs.items()}
    found = {
        other: owned.paths & changed.get(owned.api_version, NOTHING)
        for other, owned in managers.others(manager).items()
    }
    return {other: paths for other, paths in found.items() if paths}


def _without(conflicts: Mapping[Manager, Paths], allowed: Paths) -> dict[Manager, Paths]:
    return {manager: left for manager, paths in conflicts.items() if (left := paths - allowed)}


def _changed(live: Object, new: Object, node: Node | None) -> Paths:
    """The paths that the write adds or gives another value."""
    before, after = (fields.flatten(each, node) for each in (live, new))
    changed = (p for p, value in after.items() if p not in before or not _equal(before[p], value))
    return frozenset(changed) - UNMANAGED


def _equal(one: Any, other: Any) -> bool:
    return one is other or same(one, other)


def _forget_missing(managers: Managers, pairs: Mapping[str, Pair]) -> None:
    """Nobody owns what is not there, or anything of a version that is gone."""
    there = {
        version: fields.with_containers(fields.flatten(new, node))
        for version, (_, new, node) in pairs.items()
    }
    for manager, owned in managers.owned.items():
        left = owned.paths & there.get(owned.api_version, NOTHING)
        managers.owned[manager] = replace(owned, paths=left)


def _conflict_error(conflicts: Mapping[Manager, Paths]) -> errors.StatusError:
    told = [(manager, fields.show(path)) for manager, paths in conflicts.items() for path in sorted(paths)]
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {_describe(m)}", "field": path}
        for m, path in told
    ]
    if len(told) == 1:
        manager, path = told[0]
        message = f"Apply failed with 1 conflict: conflict with {_describe(manager)}: {path}"
    else:
        lines: list[str] = []
        for manager in sorted({m for m, _ in told}, key=_describe):
            lines.append(f"conflicts with {_describe(manager)}:")
            lines += [f"- {path}" for m, path in told if m == manager]
        message = f"Apply failed with {len(told)} conflicts: " + "\n".join(lines)
    return errors.StatusError(409, "Conflict", message, {"causes": causes})


def _describe(manager: Manager) -> str:
    text = errors.quote(manager.name)
    if manager.subresource:
        text += f" with subresource {errors.quote(manager.subresource)}"
    return f"{text} using {manager.api_version}" if manager.operation == UPDATE else text


def _with_managers(obj: Object, managers: Managers) -> Object:
    entries = managers.entries()
    return (
        {**obj, "metadata": {**meta.metadata(obj), "managedFields": entries}} if entries else unmanaged(obj)
    )
