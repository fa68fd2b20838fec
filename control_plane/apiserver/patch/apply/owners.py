"""The managers of an object's fields, as managedFields has them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from control_plane.api import meta
from control_plane.api.schema import Node
from control_plane.apiserver.patch.apply import fields, trees
from control_plane.apiserver.patch.apply.fields import NOTHING, Paths
from control_plane.apiserver.patch.apply.tracking import APPLY, UPDATE

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Manager:
    """Who is told apart. An applier is the same whatever version it applies; who updates is another manager in
    each version."""

    name: str
    operation: str
    api_version: str  # "" for an applier
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Owned:
    """What a manager owns, in the words of the version that it used last."""

    paths: Paths
    api_version: str = ""
    time: str = ""


@dataclass(slots=True)
class Managers:
    """The managers of one object, in the order of its managedFields."""

    owned: dict[Manager, Owned] = field(default_factory=dict)

    @classmethod
    def of(cls, obj: Object) -> Managers:
        found = cls()
        for entry in meta.metadata(obj).get("managedFields") or ():
            operation, api_version = entry.get("operation", UPDATE), entry.get("apiVersion", "")
            told_apart_by = "" if operation == APPLY else api_version
            manager = Manager(
                entry.get("manager", ""), operation, told_apart_by, entry.get("subresource", "")
            )
            paths = fields.from_fields_v1(entry.get("fieldsV1"))
            found.owned[manager] = Owned(paths, api_version, entry.get("time", ""))
        return found

    def entries(self) -> list[Object]:
        return [_entry(manager, owned) for manager, owned in self.owned.items() if owned.paths]

    def others(self, manager: Manager) -> dict[Manager, Owned]:
        return {each: owned for each, owned in self.owned.items() if each != manager}

    def by_version(self) -> dict[str, Paths]:
        """What is owned by anybody, in the words of each version that somebody used."""
        found: dict[str, Paths] = {}
        for owned in self.owned.values():
            found[owned.api_version] = found.get(owned.api_version, NOTHING) | owned.paths
        return found

    def take(self, manager: Manager, paths: Paths, api_version: str, now: str) -> None:
        """The manager's paths are these from now on; the time moves only if they changed."""
        before = self.owned.get(manager)
        if before is None or (before.paths, before.api_version) != (paths, api_version):
            self.owned[manager] = Owned(paths, api_version, now)

    def follow_schema(self, api_version: str, obj: Object, node: Node | None) -> None:
        """Of what has become atomic, what was owned of it is owned as a whole. `obj` is of that version."""
        for manager, owned in self.owned.items():
            if owned.api_version == api_version:
                tree = trees.as_declared(fields.to_fields_v1(owned.paths), obj, node)
                self.owned[manager] = replace(owned, paths=fields.from_fields_v1(tree))

    def give_up(self, manager: Manager, paths: Paths) -> None:
        owned = self.owned[manager]
        if owned.paths & paths:
            self.owned[manager] = replace(owned, paths=owned.paths - paths)


def _entry(manager: Manager, owned: Owned) -> Object:
    entry: Object = {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": owned.api_version,
        "time": owned.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields.to_fields_v1(owned.paths),
    }
    if manager.subresource:
        entry["subresource"] = manager.subresource
    return entry
