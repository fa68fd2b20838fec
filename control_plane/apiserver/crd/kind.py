"""One version of a custom resource, as the generic path asks for it (`control_plane.api.custom.CustomKind`)."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from functools import cached_property
from typing import Any

from control_plane.api import errors
from control_plane.api.custom import CustomKind
from control_plane.api.decode import Decoded
from control_plane.api.errors import FieldError, FieldErrorType
from control_plane.api.schema import Node, from_openapi
from control_plane.apiserver.crd import defaulting, jsonpath, listtypes, objectmeta, validate
from control_plane.apiserver.crd.columns import Columns
from control_plane.apiserver.crd.conversion import Converter
from control_plane.apiserver.crd.correlation import NEW
from control_plane.apiserver.crd.prune import prune
from control_plane.apiserver.crd.rules import Rules
from control_plane.apiserver.crd.scale import Scale

Object = dict[str, Any]
Schema = Mapping[str, Any]

_BLOCKING = {
    FieldErrorType.NOT_SUPPORTED,
    FieldErrorType.REQUIRED,
    FieldErrorType.TOO_LONG,
    FieldErrorType.TOO_MANY,
    FieldErrorType.TYPE_INVALID,
}
_UNCHECKED = (
    "some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)


class CustomVersion:
    """`declared` is the entry of `spec.versions`, `converter` the definition's."""

    def __init__(self, declared: Mapping[str, Any], converter: Converter, group: str, kind: str) -> None:
        self._declared = declared
        self.deprecation = _deprecation(declared, f"{group}/{declared.get('name', '')} {kind}")
        self._converter = converter
        self.schema: Schema = (declared.get("schema") or {}).get("openAPIV3Schema") or {}
        subresources = declared.get("subresources") or {}
        self._scale = Scale(subresources["scale"]) if subresources.get("scale") is not None else None
        self._selectable = _selectable(declared.get("selectableFields") or ())

    @property
    def name(self) -> str:
        return str(self._declared.get("name", ""))

    @property
    def selectable_fields(self) -> Mapping[str, tuple[str, ...]]:
        return self._selectable

    @property
    def stored_api_version(self) -> str:
        return self._converter.storage_api_version

    @cached_property
    def node(self) -> Node:
        return from_openapi(self.schema)

    @cached_property
    def rules(self) -> Rules:
        return Rules(self.schema)

    @cached_property
    def _columns(self) -> Columns:
        return Columns(self._declared.get("additionalPrinterColumns") or ())

    @property
    def columns(self) -> list[Object]:
        return self._columns.definitions

    def cells(self, obj: Mapping[str, Any], now_s: float) -> list[Any]:
        return self._columns.cells(obj, now_s)

    def decode(self, obj: Object) -> Decoded:
        """Changes `obj`, which is the caller's own. Raises DecodeError."""
        unknown = [*objectmeta.coerce(obj, self.schema), *prune(obj, self.schema)]
        return Decoded(obj, [f"unknown field {errors.quote(path)}" for path in unknown])

    def default(self, obj: Object) -> None:
        defaulting.default(obj, self.schema)
        defaulting.drop_nulls(obj, self.schema)

    def normalize(self, obj: Object) -> None:
        prune(obj, self.schema)
        self.default(obj)

    def validate(self, new: Object, old: Object | None, subresource: str = "") -> Sequence[FieldError]:
        found = list(self._by_schema(new, old, subresource))
        found += objectmeta.validate_embedded(new, self.schema)
        # A list that had doubles before may keep them: they cannot all be repaired at once.
        if old is None or not any(listtypes.validate(old, self.schema)):
            found += listtypes.validate(new, self.schema)
        if self.rules.empty:
            return found
        if any(each.type in _BLOCKING for each in found):
            return [*found, errors.invalid_value("<nil>", "null", _UNCHECKED)]
        return [*found, *self.rules.validate(new, old)]

    def _by_schema(self, new: Object, old: Object | None, subresource: str) -> list[FieldError]:
        if subresource == "status":
            status = (self.schema.get("properties") or {}).get("status")
            before = (old or {}).get("status", NEW)
            found = list[FieldError]()
            if status is not None and "status" in new:
                found += validate.validate(new["status"], status, "status", before)
        else:
            found = list(validate.validate(new, self.schema, "", NEW if old is None else old))
        if self._scale is not None:
            found += self._scale.validate(new, subresource == "status")
        return found

    def scale_of(self, obj: Object) -> Object:
        assert self._scale is not None, "there is a scale subresource"
        return self._scale.get(obj)

    def scaled(self, obj: Object, scale: Object) -> Object:
        assert self._scale is not None, "there is a scale subresource"
        return self._scale.set(obj, scale)

    def convert(self, objects: Sequence[Object]) -> Awaitable[list[Object]]:
        return self._converter.convert(objects, self.name)

    def version(self, api_version: str) -> CustomKind | None:
        return self._converter.version(api_version)

    def store(self, obj: Object) -> Awaitable[Object]:
        return self._converter.to_storage(obj)


def _deprecation(declared: Mapping[str, Any], what: str) -> str:
    if not declared.get("deprecated"):
        return ""
    return declared.get("deprecationWarning") or f"{what} is deprecated"


def _selectable(declared: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    found = {}
    for each in declared:
        path = each.get("jsonPath", "")
        names = jsonpath.simple_path(path)
        if names is not None:
            found[path.removeprefix(".")] = names
    return found
