"""An object in the versions that its managers wrote it through.

What a manager owns is said in the words of the version that it used. A write is therefore compared, for each
manager, in that manager's version. Conversion may take a call to a webhook, so it is asked for (`Show`) and only
where versions differ; who wrote through a version that is gone owns nothing any more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from control_plane.api import meta
from control_plane.api.schema import Node

Object = dict[str, Any]
Shown = tuple[Sequence[Object], Node | None]
Show = Callable[[Sequence[Object], str], Awaitable[Shown | None]]
"""The objects in another version of their kind, with its schema; None if there is no such version (any more).
Changes nothing in place. Raises StatusError."""

Pair = tuple[Object, Object, Node | None]


class Versions:
    """How to see objects of the version `api_version`, whose schema is `node`, in others."""

    def __init__(self, api_version: str, node: Node | None, show: Show | None) -> None:
        self._api_version = api_version
        self._node = node
        self._show = show

    async def one(self, obj: Object, api_version: str) -> tuple[Object, Node | None] | None:
        found = await self._shown([obj], api_version)
        return (found[0][0], found[1]) if found is not None else None

    async def pairs(self, old: Object, new: Object, wanted: Iterable[str]) -> dict[str, Pair]:
        """Both objects, by version; versions that are gone are left out."""
        pairs: dict[str, Pair] = {}
        for api_version in sorted({*wanted, self._api_version}):
            found = await self._shown([old, new], api_version)
            if found is not None:
                (before, after), node = found
                pairs[api_version] = before, after, node
        return pairs

    async def _shown(self, objects: Sequence[Object], api_version: str) -> Shown | None:
        """An empty object stands for one that is not there: it is the same in all versions."""
        foreign = [each for each in objects if each and each.get("apiVersion", "") != api_version]
        if self._show is None or (not foreign and api_version == self._api_version):
            return objects, self._node
        found = await self._show([unmanaged(each) for each in objects if each], api_version)
        if found is None:
            return None
        converted = iter(found[0])
        return [next(converted) if each else each for each in objects], found[1]


def unmanaged(obj: Object) -> Object:
    """The object without its bookkeeping."""
    if "metadata" not in obj:
        return obj
    metadata = {key: value for key, value in meta.metadata(obj).items() if key != "managedFields"}
    return {**obj, "metadata": metadata}
