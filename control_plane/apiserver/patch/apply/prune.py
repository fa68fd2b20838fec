"""What was applied and is not any more goes, if nobody owns it or anything in it.

That is judged in the version of the last configuration, and in each version that an owner used: what only
they can name comes back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from control_plane.api.schema import Node
from control_plane.apiserver.patch.apply import fields
from control_plane.apiserver.patch.apply.fields import Path, Paths
from control_plane.apiserver.patch.apply.merge import remove
from control_plane.apiserver.patch.apply.owners import Managers, Owned
from control_plane.apiserver.patch.apply.versions import Versions

Object = dict[str, Any]


async def prune(merged: Object, last: Owned, managers: Managers, versions: Versions) -> Object:
    """`merged` (of the request's version) without what only the manager's last configuration had."""
    shown = await versions.one(merged, last.api_version) if last.paths else None
    if shown is None:
        return merged
    there, node = shown
    owned = managers.by_version()
    applied = fields.with_containers(last.paths)
    gone = applied - fields.with_containers(owned.pop(last.api_version, ()))
    pruned = remove(there, gone, node)
    if owned:
        pruned = await _with_owned(merged, pruned, owned.items(), versions)
        left = await versions.one(pruned, last.api_version)
        assert left is not None, "it has been shown in this version before"
        pruned = remove(there, (_all_of(there, node) - _all_of(left[0], node)) & applied, node)
    back = await versions.one(pruned, merged.get("apiVersion", ""))
    assert back is not None, "the version of the request is served"
    return back[0]


async def _with_owned(
    merged: Object, pruned: Object, owned: Iterable[tuple[str, Paths]], versions: Versions
) -> Object:
    """`pruned`, with what others own in the words of other versions."""
    for api_version, paths in sorted(owned):
        whole = await versions.one(merged, api_version)
        rest = await versions.one(pruned, api_version)
        if whole is None or rest is None:
            continue
        there, node = whole
        kept = _all_of(rest[0], node) | fields.with_containers(paths)
        pruned = remove(there, _all_of(there, node) - kept, node)
    return pruned


def _all_of(obj: Object, node: Node | None) -> set[Path]:
    return fields.with_containers(fields.flatten(obj, node))
