"""Between the version an object is stored in and the version a client asked for."""

from __future__ import annotations

from typing import Any

from control_plane.api.conversion import convert
from control_plane.api.registry import Resource

Object = dict[str, Any]


def to_version(stored: Object, resource: Resource) -> Object:
    """A stored object in the version of `resource`; the same object where there is nothing to convert."""
    return stored if resource.is_storage_version else convert(stored, resource.api_version)


def to_storage(obj: Object, resource: Resource) -> Object:
    """An object of the version of `resource` as it is stored."""
    return obj if resource.is_storage_version else convert(obj, resource.storage_api_version)
