"""PATCH as pure functions: JSON patch, JSON merge patch and strategic merge patch."""

from control_plane.apiserver.patch.dispatch import (
    APPLY_YAML,
    JSON_PATCH,
    MERGE_PATCH,
    STRATEGIC_MERGE_PATCH,
    apply_patch,
    media_type,
)
from control_plane.apiserver.patch.meta import FieldMeta, OpenAPIPatchSchema, PatchSchema

__all__ = [
    "APPLY_YAML",
    "JSON_PATCH",
    "MERGE_PATCH",
    "STRATEGIC_MERGE_PATCH",
    "FieldMeta",
    "OpenAPIPatchSchema",
    "PatchSchema",
    "apply_patch",
    "media_type",
]
