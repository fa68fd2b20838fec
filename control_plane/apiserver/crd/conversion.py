"""Between the versions of one custom resource.

Objects lie in the store in the version that was the storage version when they were written. With strategy None
versions differ in name only; with a webhook its answer is checked for what it must not change. An object is
normalized (pruned, defaulted) by the schema of the version it comes to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from control_plane.api import errors
from control_plane.api.custom import CustomKind
from control_plane.api.meta import group_version

Object = dict[str, Any]


class Webhook(Protocol):
    async def convert(self, objects: Sequence[Object], api_version: str) -> list[Object]:
        """Raises StatusError."""


class Converter:
    """Of one definition. `versions` is filled by its owner before anything is converted."""

    def __init__(self, group: str, storage_version: str, webhook: Webhook | None = None) -> None:
        self._group = group
        self._storage_version = storage_version
        self._webhook = webhook
        self.versions: dict[str, CustomKind] = {}

    @property
    def storage_api_version(self) -> str:
        return f"{self._group}/{self._storage_version}"

    async def convert(self, objects: Sequence[Object], version: str) -> list[Object]:
        """The objects (of any version, the caller's own) in `version`, in order. Raises StatusError."""
        api_version = f"{self._group}/{version}"
        foreign = [each for each in objects if each["apiVersion"] != api_version]
        if not foreign:
            return list(objects)
        for each in foreign:
            self._check_known(each)
        if self._webhook is None:
            converted = [{**each, "apiVersion": api_version} for each in foreign]
        else:
            converted = await self._webhook.convert(foreign, api_version)
        for each in converted:
            self.versions[version].normalize(each)
        by_id = {id(old): new for old, new in zip(foreign, converted, strict=True)}
        return [by_id.get(id(each), each) for each in objects]

    def version(self, api_version: str) -> CustomKind | None:
        group, version = group_version(api_version)
        return self.versions.get(version) if group == self._group else None

    async def to_storage(self, obj: Object) -> Object:
        if obj["apiVersion"] == self.storage_api_version:
            return obj
        return (await self.convert([obj], self._storage_version))[0]

    def _check_known(self, obj: Object) -> None:
        version = group_version(obj["apiVersion"])[1]
        if version not in self.versions:
            raise errors.internal(f"request to convert CR from an invalid group/version: {obj['apiVersion']}")


WebhookFor = Callable[[str, Mapping[str, Any]], Webhook | None]
"""Makes the webhook of a definition: takes its name and `spec.conversion`."""
