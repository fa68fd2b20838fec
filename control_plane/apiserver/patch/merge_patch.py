"""JSON merge patch (RFC 7386).

`null` deletes, an object merges, anything else replaces; arrays are values. The target is never changed: what
differs is copied, what does not is shared.
"""

from __future__ import annotations

from typing import Any


def apply_merge_patch(target: Any, patch: Any) -> Any:
    """The target with the patch merged into it (RFC 7386, section 2)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = apply_merge_patch(result.get(key), value)
    return result


def create_merge_patch(source: dict[str, Any], target: dict[str, Any]) -> dict[str, Any]:
    """The smallest merge patch that turns source into target.

    Merge patch cannot express a null value, so a target that holds nulls in objects has no patch.
    """
    patch: dict[str, Any] = {key: None for key in source if key not in target}
    for key, wanted in target.items():
        if key not in source:
            patch[key] = wanted
            continue
        present = source[key]
        if isinstance(present, dict) and isinstance(wanted, dict):
            inner = create_merge_patch(present, wanted)
            if inner:
                patch[key] = inner
        elif type(present) is not type(wanted) or present != wanted:
            patch[key] = wanted
    return patch
