"""What the API serves: resources by path and by kind, built-in and custom, with the facts the generic path
needs.

A `Resource` is one version of one resource; it is immutable. The `Registry` is the mutable index of those
served now; custom resources come and go through `add` and `remove`, and `generation` changes with each, so
that discovery and OpenAPI know when to render again. Lookups are dictionary reads and never block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from control_plane.api import resources
from control_plane.api.resources import Row, Subresource

if TYPE_CHECKING:
    from control_plane.api.custom import CustomKind

__all__ = ["Registry", "Resource", "Subresource"]


@dataclass(frozen=True, slots=True)
class Resource:
    group: str
    version: str
    resource: str  # plural
    kind: str
    singular: str
    namespaced: bool
    verbs: tuple[str, ...]
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: Mapping[str, Subresource] = field(default_factory=dict)
    list_kind: str = ""
    definition: str = ""  # OpenAPI definition; "" for custom resources
    storage_group: str = ""
    storage_version: str = ""
    custom: bool = False
    custom_kind: CustomKind | None = field(default=None, compare=False, repr=False)

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def storage_api_version(self) -> str:
        return f"{self.storage_group}/{self.storage_version}" if self.storage_group else self.storage_version

    @property
    def group_resource(self) -> str:
        """`deployments.apps`; `pods` in the core group."""
        return f"{self.resource}.{self.group}" if self.group else self.resource

    @property
    def gvr(self) -> tuple[str, str, str]:
        return (self.group, self.version, self.resource)

    @property
    def gvk(self) -> tuple[str, str, str]:
        return (self.group, self.version, self.kind)

    @property
    def path(self) -> str:
        """The URL of the group version: `/api/v1`, `/apis/apps/v1`."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    @property
    def persisted(self) -> bool:
        """False for reviews, bindings and other things that are answered and not kept."""
        return "watch" in self.verbs

    @property
    def is_storage_version(self) -> bool:
        return (self.group, self.version) == (self.storage_group, self.storage_version)

    @property
    def has_status(self) -> bool:
        return "status" in self.subresources

    @property
    def has_scale(self) -> bool:
        return "scale" in self.subresources

    def subresource_gvk(self, name: str) -> tuple[str, str, str]:
        """What a request to the subresource holds; a Pod for `pods/status`, a Scale for
        `deployments/scale`.
        """
        sub = self.subresources[name]
        if sub.group is None:
            return (self.group, self.version, sub.kind or self.kind)
        return (sub.group, sub.version, sub.kind)


class Registry:
    """The resources served now. One per process; built-ins are shared, so that a new one is cheap."""

    def __init__(self, served: Iterable[Resource] = ()) -> None:
        self.generation = 0
        self._by_path: dict[tuple[str, str, str], Resource] = {}
        self._by_kind: dict[tuple[str, str, str], Resource] = {}
        self._versions: dict[str, list[str]] = {}
        self.add(*served)

    @classmethod
    def builtin(cls, also: Iterable[tuple[str, str]] = ()) -> Registry:
        """`also`: groups and versions that are off by default."""
        return cls([*_builtin(), *_optional(also)])

    @classmethod
    def optional(cls, wanted: Iterable[tuple[str, str]]) -> Registry:
        """What is off by default, alone."""
        return cls(_optional(wanted))

    def add(self, *served: Resource) -> None:
        """Serve more resources, or newer descriptions of the same."""
        for resource in served:
            self._by_path[resource.gvr] = resource
            self._by_kind[resource.gvk] = resource
            versions = self._versions.setdefault(resource.group, [])
            if resource.version not in versions:
                versions.append(resource.version)
                if resource.custom:
                    versions.sort(key=version_priority)
        self.generation += 1

    def remove(self, *served: Resource) -> None:
        for resource in served:
            self._by_path.pop(resource.gvr, None)
            self._by_kind.pop(resource.gvk, None)
            if not any(r.version == resource.version for r in self.of_group(resource.group)):
                versions = self._versions.get(resource.group, [])
                if resource.version in versions:
                    versions.remove(resource.version)
                if not versions:
                    self._versions.pop(resource.group, None)
        self.generation += 1

    def get(self, group: str, version: str, resource: str) -> Resource | None:
        return self._by_path.get((group, version, resource))

    def by_kind(self, group: str, version: str, kind: str) -> Resource | None:
        return self._by_kind.get((group, version, kind))

    def by_api_version(self, api_version: str, kind: str) -> Resource | None:
        group, slash, version = api_version.rpartition("/")
        return self._by_kind.get((group, version, kind) if slash else ("", api_version, kind))

    def find(self, group: str, resource: str) -> Resource | None:
        """The preferred served version of a resource."""
        for version in self._versions.get(group, ()):
            if found := self._by_path.get((group, version, resource)):
                return found
        return None

    def storage(self, resource: Resource) -> Resource:
        """The version in which objects of `resource` are worked on: the one they are kept in. Those of custom
        resources are worked on in the version of the request, and converted on their way to the store."""
        if resource.custom:
            return resource
        return self._by_path.get(
            (resource.storage_group, resource.storage_version, resource.resource), resource
        )

    def stored(self) -> list[Resource]:
        """One entry per kind of object in the store: what caches and informers are made of."""
        return [r for r in self._by_path.values() if r.persisted and r.is_storage_version]

    def groups(self) -> list[str]:
        """Named groups in discovery's order: built-ins as upstream ranks them, then custom ones by name."""
        named = [group for group in self._versions if group]
        known = [group for group in _GROUP_ORDER if group in named]
        return known + sorted(set(named) - set(known))

    def versions(self, group: str) -> list[str]:
        """Preferred first."""
        return list(self._versions.get(group, ()))

    def has_group_version(self, group: str, version: str) -> bool:
        return version in self._versions.get(group, ())

    def of_group(self, group: str) -> list[Resource]:
        return [r for r in self._by_path.values() if r.group == group]

    def of_group_version(self, group: str, version: str) -> list[Resource]:
        found = [r for r in self._by_path.values() if (r.group, r.version) == (group, version)]
        return sorted(found, key=lambda r: r.resource)

    def __iter__(self) -> Iterator[Resource]:
        return iter(list(self._by_path.values()))

    def __len__(self) -> int:
        return len(self._by_path)


def version_priority(version: str) -> tuple[int, int, int, str]:
    """Sort key of kube's version order: v2, v1, v1beta2, v1beta1, v1alpha1, then anything else by name."""
    for rank, stage in enumerate(("", "beta", "alpha")):
        major, found, minor = version.removeprefix("v").partition(stage) if stage else (version[1:], "", "0")
        if version.startswith("v") and major.isdigit() and minor.isdigit() and (found or not stage):
            return (rank, -int(major), -int(minor), "")
    return (3, 0, 0, version)


_GROUP_ORDER = tuple(
    dict.fromkeys(group for group, _ in (*resources.TABLE, *resources.OFF_BY_DEFAULT) if group)
)
_built: tuple[Resource, ...] = ()


def _builtin() -> tuple[Resource, ...]:
    global _built
    if not _built:
        _built = tuple(
            _resource(group, version, row)
            for (group, version), rows in resources.TABLE.items()
            for row in rows
        )
    return _built


def _optional(wanted: Iterable[tuple[str, str]]) -> list[Resource]:
    return [
        _resource(group, version, row)
        for group, version in wanted
        for row in resources.OFF_BY_DEFAULT[group, version]
    ]


def _resource(group: str, version: str, row: Row) -> Resource:
    storage_group, storage_version = row.stored_as or (group, version)
    return Resource(
        group=group,
        version=version,
        resource=row.resource,
        kind=row.kind,
        singular=row.kind.lower(),
        namespaced=row.namespaced,
        verbs=row.verbs,
        short_names=tuple(filter(None, row.short.split(","))),
        categories=tuple(filter(None, row.categories.split(","))),
        subresources={sub.name: sub for sub in row.sub},
        list_kind=f"{row.kind}List" if "list" in row.verbs else "",
        definition=resources.definition_name(group, version, row.kind),
        storage_group=storage_group,
        storage_version=storage_version,
    )
