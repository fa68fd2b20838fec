"""x-kubernetes-validations: the CEL rules of a schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from control_plane.api.errors import FieldError

Object = dict[str, Any]
Schema = Mapping[str, Any]


class Rules:
    def __init__(self, schema: Schema) -> None:
        self.empty = True

    def validate(self, new: Object, old: Object | None) -> Sequence[FieldError]:
        return ()
