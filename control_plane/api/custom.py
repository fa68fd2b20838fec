"""What a custom resource brings along where a built-in kind has code and tables of its own.

Built-ins are looked up by group, version and kind; a custom resource carries its behaviour with it, in
`Resource.custom_kind`. The generic path asks one or the other and knows no more of custom resources.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Protocol

from control_plane.api.decode import Decoded
from control_plane.api.errors import FieldError
from control_plane.api.schema import Node

Object = dict[str, Any]


class CustomKind(Protocol):
    """One version of a custom resource. Everything here is pure; objects are of this version."""

    @property
    def node(self) -> Node:
        """How lists and maps merge, for server-side apply and field management."""

    @property
    def stored_api_version(self) -> str:
        """The version in which objects are written now; those written before may be of another."""

    @property
    def deprecation(self) -> str:
        """What a client of this version is warned of; "" for one that is not deprecated."""

    @property
    def selectable_fields(self) -> Mapping[str, tuple[str, ...]]:
        """What can be selected by besides name and namespace, with the path of each."""

    @property
    def columns(self) -> list[Object]:
        """A Table's column definitions."""

    def cells(self, obj: Mapping[str, Any], now_s: float) -> list[Any]:
        """A Table's row."""

    def decode(self, obj: Object) -> Decoded:
        """The object with typed metadata and without fields that the schema does not know, which are told.
        Raises DecodeError."""

    def default(self, obj: Object) -> None:
        """Fill in what the schema has defaults for."""

    def normalize(self, obj: Object) -> None:
        """What reading from the store does: metadata, pruning and defaults as the schema is today."""

    def validate(self, new: Object, old: Object | None, subresource: str = "") -> Sequence[FieldError]:
        """By schema, list types and rules; on an update what was wrong before and stays may stay."""

    def scale_of(self, obj: Object) -> Object:
        """The object as an autoscaling/v1 Scale. Raises StatusError."""

    def scaled(self, obj: Object, scale: Object) -> Object:
        """The object with the replicas that the Scale asks for."""

    def convert(self, objects: Sequence[Object]) -> Awaitable[list[Object]]:
        """The objects (of any version, the caller's own) in this version, in order. Raises StatusError."""

    def version(self, api_version: str) -> CustomKind | None:
        """Another version of the same definition, served or not; None if it has none of that name."""

    def store(self, obj: Object) -> Awaitable[Object]:
        """The object in the version it is stored in. Raises StatusError."""
