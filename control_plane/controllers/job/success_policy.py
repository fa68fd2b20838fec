"""successPolicy: an indexed job may have succeeded before all of its indexes have."""

from __future__ import annotations

from collections.abc import Collection

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.controllers.job import indexes


def met(job: Object, completed: Collection[int], completions: int) -> str:
    """Which rule is met, as the condition says it; "" for none."""
    for number, rule in enumerate(meta.nested(job, "spec", "successPolicy", "rules", default=())):
        wanted = rule.get("succeededIndexes")
        among = set(completed)
        if wanted is not None:
            chosen = indexes.parse(wanted, completions)
            among &= chosen
        needed = rule.get("succeededCount")
        if needed is None and wanted is not None:
            needed = len(chosen)
        if needed is not None and len(among) >= int(needed):
            return f"Matched rules at index {number}"
    return ""
