"""What a controller has done that its informer does not show yet.

A controller that reads its cache just after a write would see too few (or too many) pods, or a status in which
what it has counted does not stand yet (KEP-5647), and act twice. It remembers the resourceVersion of what it wrote
and the uids of what it deleted; until the informer has come that far, it leaves that key alone and looks again a
moment later. (client-go counts events instead, and waits five minutes when one is lost to a relist;
resourceVersions are ordered here, so nothing needs to be counted.)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.client.informer import Informer

LOOK_AGAIN_S = 0.05


@dataclass(slots=True)
class _Expected:
    version: int = 0
    deleted: set[str] = field(default_factory=set)


class Expectations:
    """Keyed by the owner's key. Bounded by the number of owners: what is settled is dropped."""

    def __init__(self, informer: Informer) -> None:
        self._informer = informer
        self._by_key: dict[str, _Expected] = {}

    def satisfied(self, key: str, owned: Iterable[Object] = ()) -> bool:
        """`owned`: what the informer shows of the owner's pods, if any were deleted."""
        expected = self._by_key.get(key)
        if expected is None:
            return True
        alive = {meta.uid_of(each) for each in owned if not meta.is_deleting(each)}
        if self._informer.applied_version < expected.version or expected.deleted & alive:
            return False
        del self._by_key[key]
        return True

    def wrote(self, key: str, obj: Object) -> None:
        entry = self._entry(key)
        entry.version = max(entry.version, int(meta.resource_version_of(obj) or 0))

    def deleted(self, key: str, uid: str) -> None:
        self._entry(key).deleted.add(uid)

    def forget(self, key: str) -> None:
        self._by_key.pop(key, None)

    def _entry(self, key: str) -> _Expected:
        return self._by_key.setdefault(key, _Expected())
