"""Who manages which fields: server-side apply. (`tracking` keeps the books of all other writes.)

An applier owns exactly what its configuration says. Changing what another manager owns is a conflict unless
forced, which takes it over; what an applier no longer mentions and nobody else owns is removed. What an object
without bookkeeping holds belongs, at its first apply, to `before-first-apply`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from control_plane.api import errors, meta
from control_plane.api.schema import Node
from control_plane.apiserver.patch.apply import fields, last_applied
from control_plane.apiserver.patch.apply.fields import NOTHING, Path, Paths
from control_plane.apiserver.patch.apply.merge import merge, remove
from control_plane.apiserver.patch.apply.tracking import APPLY, UNMANAGED_METADATA, UPDATE
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


@dataclass(frozen=True, slots=True)
class Manager:
    name: str
    operation: str
    api_version: str
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Owned:
    paths: Paths
    time: str = ""


@dataclass(slots=True)
class Managers:
    """The managers of one object, in the order of its managedFields."""

    owned: dict[Manager, Owned] = field(default_factory=dict)

    @classmethod
    def of(cls, obj: Object) -> Managers:
        found = cls()
        for entry in meta.metadata(obj).get("managedFields") or ():
            manager = Manager(
                entry.get("manager", ""),
                entry.get("operation", UPDATE),
                entry.get("apiVersion", ""),
                entry.get("subresource", ""),
            )
            found.owned[manager] = Owned(fields.from_fields_v1(entry.get("fieldsV1")), entry.get("time", ""))
        return found

    def entries(self) -> list[Object]:
        return [_entry(manager, owned) for manager, owned in self.owned.items() if owned.paths]

    def others(self, manager: Manager) -> dict[Manager, Owned]:
        return {each: owned for each, owned in self.owned.items() if each != manager}

    def take(self, manager: Manager, paths: Paths, now: str) -> None:
        """The manager's paths are these from now on; the time moves only if they changed."""
        before = self.owned.get(manager)
        if before is None or before.paths != paths:
            self.owned[manager] = Owned(paths, now)

    def give_up(self, manager: Manager, paths: Paths) -> None:
        owned = self.owned[manager]
        if owned.paths & paths:
            self.owned[manager] = replace(owned, paths=owned.paths - paths)


def apply(
    live: Object | None,
    config: Object,
    node: Node | None,
    manager_name: str,
    force: bool,
    now: str,
    subresource: str = "",
    reset: Paths = NOTHING,
) -> Object:
    """The object after the configuration is applied, with its managedFields.

    `live` is None for an object that is not there yet. Both are of the version of the request. `reset` are
    the fields that this endpoint does not write (`("f:status",)`, or `("f:spec",)` for the status): they are
    ignored. Raises StatusError: 400 for a bad configuration, 409 for conflicts.
    """
    if meta.metadata(config).get("managedFields"):
        raise errors.bad_request("metadata.managedFields must be nil")
    manager = Manager(manager_name, APPLY, config.get("apiVersion", ""), subresource)
    try:
        return _apply(live, remove(config, set(reset), node), node, manager, force, now)
    except MalformedPatch as error:
        raise errors.bad_request(f"error decoding patch: {error}") from error
    except RecursionError as error:
        raise errors.bad_request("error decoding patch: exceeded max depth") from error


def _apply(
    live: Object | None, config: Object, node: Node | None, manager: Manager, force: bool, now: str
) -> Object:
    present = live or {}
    managers = Managers.of(present)
    if live is not None and not managers.owned:
        _remember_before(managers, live, node, now)
    last = managers.owned.get(manager, Owned(NOTHING)).paths
    wanted = frozenset(fields.flatten(config, node)) - UNMANAGED
    merged = merge(_unmanaged(present), config, node)
    managers.take(manager, wanted, now)
    pruned = remove(merged, _abandoned(last, managers), node)
    conflicts = _conflicts(present, pruned, node, managers, manager)
    refused = {} if force else _without(conflicts, last_applied.applied_before(present, manager.name, node))
    if refused:
        raise _conflict_error(refused)
    for other, paths in conflicts.items():
        managers.give_up(other, paths)
    _forget_missing(managers, pruned, node)
    return _with_managers(last_applied.keep(pruned, config, manager.name), managers)


def _remember_before(managers: Managers, live: Object, node: Node | None, now: str) -> None:
    paths = frozenset(fields.flatten(_unmanaged(live), node)) - UNMANAGED
    managers.owned[Manager(BEFORE_FIRST_APPLY, UPDATE, live.get("apiVersion", ""))] = Owned(paths, now)


def _abandoned(last: Paths, managers: Managers) -> set[Path]:
    """What was applied and is not any more, if nobody owns it or anything in it."""
    owned = fields.with_containers(path for each in managers.owned.values() for path in each.paths)
    return {path for path in fields.with_containers(last) if path not in owned}


def _conflicts(
    live: Object, new: Object, node: Node | None, managers: Managers, manager: Manager
) -> dict[Manager, Paths]:
    changed = _changed(live, new, node)
    found = {other: owned.paths & changed for other, owned in managers.others(manager).items()}
    return {other: paths for other, paths in found.items() if paths}


def _without(conflicts: Mapping[Manager, Paths], allowed: Paths) -> dict[Manager, Paths]:
    return {manager: left for manager, paths in conflicts.items() if (left := paths - allowed)}


def _changed(live: Object, new: Object, node: Node | None) -> Paths:
    """The paths that the write adds or gives another value."""
    before, after = (fields.flatten(_unmanaged(each), node) for each in (live, new))
    changed = (p for p, value in after.items() if p not in before or not _equal(before[p], value))
    return frozenset(changed) - UNMANAGED


def _equal(one: Any, other: Any) -> bool:
    return one is other or same(one, other)


def _forget_missing(managers: Managers, obj: Object, node: Node | None) -> None:
    """Nobody owns what is not there."""
    there = fields.with_containers(fields.flatten(_unmanaged(obj), node))
    for manager, owned in managers.owned.items():
        managers.owned[manager] = replace(owned, paths=owned.paths & there)


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


def _entry(manager: Manager, owned: Owned) -> Object:
    entry: Object = {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": manager.api_version,
        "time": owned.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields.to_fields_v1(owned.paths),
    }
    if manager.subresource:
        entry["subresource"] = manager.subresource
    return entry


def _with_managers(obj: Object, managers: Managers) -> Object:
    entries = managers.entries()
    return (
        {**obj, "metadata": {**meta.metadata(obj), "managedFields": entries}} if entries else _unmanaged(obj)
    )


def _unmanaged(obj: Object) -> Object:
    """The object without its bookkeeping."""
    if "metadata" not in obj:
        return obj
    metadata = {key: value for key, value in meta.metadata(obj).items() if key != "managedFields"}
    return {**obj, "metadata": metadata}
