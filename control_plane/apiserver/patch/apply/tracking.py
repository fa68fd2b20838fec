"""The bookkeeping of every write but apply: who created or changed which fields, and when.

A new object's fields belong to its creator. Later a writer comes to own what it changes, the other managers
lose it, and what is gone nobody owns. An object without managedFields (a client has reset them with an empty
list) is not tracked again until it is applied. A client may edit the list; what it sends through a
subresource is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.api import meta
from control_plane.api.schema import Node
from control_plane.apiserver.patch.apply import trees
from control_plane.apiserver.patch.apply.trees import Tree
from control_plane.apiserver.patch.apply.versions import Show, Versions
from control_plane.apiserver.patch.errors import MalformedPatch

Object = dict[str, Any]
Identity = tuple[str, str, str, str]
Change = tuple[Tree, Tree]  # changed, removed
Changes = Mapping[str, Change]  # by version

APPLY, UPDATE = "Apply", "Update"
MAX_UPDATE_MANAGERS = 10  # kube-apiserver's limit; the oldest are merged, those of each version into one
ANCIENT = "ancient-changes"

UNMANAGED_METADATA = frozenset(
    {
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    }
)
_UNMANAGED = frozenset({"apiVersion", "kind", "metadata"})


def track_create(new: Object, node: Node | None, manager: str, now: str, reset: str = "") -> None:
    """Set the managedFields of an object that is about to be created. `reset` is a field that the endpoint does
    not write (`status`)."""
    metadata = new["metadata"]
    sent = metadata.pop("managedFields", None)
    fields = _managed({key: value for key, value in new.items() if key != reset})
    try:
        owned = trees.created(fields, node)
    except (MalformedPatch, RecursionError):
        return  # a list that breaks its own rules is for validation to refuse
    entries = _disowned(sent, owned, {}) if _is_list_of_entries(sent) else []
    if owned:
        entries.append(_entry((manager, UPDATE, new["apiVersion"], ""), owned, now))
    if entries:
        metadata["managedFields"] = sorted(entries, key=_place)


async def track(
    live: Object,
    new: Object,
    node: Node | None,
    manager: str,
    now: str,
    subresource: str = "",
    show: Show | None = None,
    schema_changes: bool = False,
) -> None:
    """Bring the managedFields of `new`, which takes the place of `live`, up to date.

    Both are of the version of the request; without `show` all versions look the same. `schema_changes`: the schema
    may be another one than when the entries were made. Raises StatusError: what a conversion raises.
    """
    metadata = new["metadata"]
    sent = metadata.pop("managedFields", None)
    entries = meta.metadata(live).get("managedFields") or []
    if not subresource and sent is not None and (_is_reset(sent) or _is_list_of_entries(sent)):
        entries = [] if _is_reset(sent) else sent
    if not entries:
        return
    try:
        change = trees.difference(_managed(live), _managed(new), node)
        if any(change):
            identity = (manager, UPDATE, new["apiVersion"], subresource)
            changes = await _changes(live, new, node, change, entries, show)
            if schema_changes:
                entries = [_as_declared(each, live, node) for each in entries]
            entries = _tracked(entries, identity, changes, now)
    except (MalformedPatch, RecursionError):
        pass
    if entries:
        metadata["managedFields"] = entries


def _as_declared(entry: Object, live: Object, node: Node | None) -> Object:
    if entry.get("apiVersion") != live.get("apiVersion"):
        return entry  # of another version, whose schema is not at hand; applies look at it
    return {**entry, "fieldsV1": trees.as_declared(entry.get("fieldsV1") or {}, live, node)}


async def _changes(
    live: Object, new: Object, node: Node | None, change: Change, entries: list[Object], show: Show | None
) -> Changes:
    """The change as each version sees it that an entry is of."""
    own = new["apiVersion"]
    foreign = {entry.get("apiVersion", "") for entry in entries} - {own}
    if not foreign:
        return {own: change}
    pairs = await Versions(own, node, show).pairs(live, new, foreign)
    return {
        version: change if version == own else trees.difference(_managed(before), _managed(after), schema)
        for version, (before, after, schema) in pairs.items()
    }


def _tracked(entries: list[Object], writer: Identity, changes: Changes, now: str) -> list[Object]:
    own = next((entry for entry in entries if _identity(entry) == writer), None)
    changed, removed = changes[writer[2]]
    found = []
    for entry in entries:
        change = changes.get(entry.get("apiVersion", ""))
        if entry is not own and change is not None:
            found += _disowned([entry], *change)
    before: Tree = (own or {}).get("fieldsV1") or {}
    after = trees.united(before, changed) if before and changed else (before or changed)
    left = trees.cut(after, removed) if removed else after
    if left:
        moved = bool(changed) or left != before
        time = now if moved or own is None else own.get("time", "")
        found.append(_entry(writer, left, time))
    return sorted(_bounded(found), key=_place)


def _disowned(entries: list[Object], changed: Tree, removed: Tree) -> list[Object]:
    """What other managers keep."""
    found = []
    for entry in entries:
        fields = before = entry.get("fieldsV1") or {}
        if changed:
            fields = trees.without(fields, changed) or {}
        if removed and fields:
            fields = trees.cut(fields, removed) or {}
        if fields == before:
            found.append(entry)
        elif fields:
            found.append({**entry, "fieldsV1": fields})
    return found


def _bounded(entries: list[Object]) -> list[Object]:
    """Too many writers: the oldest of each version become one nameless manager."""
    updates = [entry for entry in entries if entry.get("operation") == UPDATE]
    excess = len(updates) - MAX_UPDATE_MANAGERS
    if excess <= 0:
        return entries
    updates.sort(key=_place)
    oldest: dict[str, Object] = {}  # by version, what the next of it are merged into
    merged: set[int] = set()
    for entry in updates:
        if excess <= 0:
            break
        known = oldest.setdefault(entry.get("apiVersion", ""), entry)
        if known is not entry:
            oldest[entry.get("apiVersion", "")] = _merged(known, entry)
            merged |= {id(known), id(entry)}
            excess -= 1
    given = set(map(id, entries))
    kept = [entry for entry in entries if id(entry) not in merged]
    return [*kept, *(entry for entry in oldest.values() if id(entry) not in given)]


def _merged(known: Object, entry: Object) -> Object:
    fields = trees.united(known.get("fieldsV1") or {}, entry.get("fieldsV1") or {})
    return _entry((ANCIENT, UPDATE, entry.get("apiVersion", ""), ""), fields, entry.get("time", ""))


def _managed(obj: Object) -> Object:
    """What of an object has managers."""
    found = {key: value for key, value in obj.items() if key not in _UNMANAGED}
    metadata = {key: value for key, value in obj["metadata"].items() if key not in UNMANAGED_METADATA}
    if metadata:
        found["metadata"] = metadata
    return found


def _is_reset(sent: Any) -> bool:
    return sent in ([], [{}])


def _is_list_of_entries(sent: Any) -> bool:
    """What else a client may send counts as if it had sent nothing."""
    try:
        return (
            isinstance(sent, list)
            and bool(sent)
            and all(isinstance(each, dict) and trees.is_tree(each.get("fieldsV1")) for each in sent)
        )
    except RecursionError:
        return False


def _identity(entry: Object) -> Identity:
    return (
        entry.get("manager", ""),
        entry.get("operation", UPDATE),
        entry.get("apiVersion", ""),
        entry.get("subresource", ""),
    )


def _place(entry: Object) -> tuple[str, str, str, str, str]:
    """Appliers first, then by time."""
    manager, operation, api_version, subresource = _identity(entry)
    return operation, entry.get("time") or "", manager, api_version, subresource


def _entry(identity: Identity, fields: Tree, time: str) -> Object:
    manager, operation, api_version, subresource = identity
    entry: Object = {
        "manager": manager,
        "operation": operation,
        "apiVersion": api_version,
        "time": time,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    if subresource:
        entry["subresource"] = subresource
    return entry
