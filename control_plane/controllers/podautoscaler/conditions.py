"""What an autoscaler says of itself: conditions in the order in which they were first set."""

from __future__ import annotations

from collections.abc import Sequence

from control_plane.api import meta
from control_plane.api.meta import Object


def put(
    conditions: Sequence[Object], type_: str, value: bool, reason: str, message: str, now: float
) -> list[Object]:
    status = "True" if value else "False"
    old = next((each for each in conditions if each["type"] == type_), None)
    changed = old is None or old["status"] != status
    since = meta.rfc3339(now) if old is None or changed else old.get("lastTransitionTime")
    made = {
        "type": type_,
        "status": status,
        "lastTransitionTime": since,
        "reason": reason,
        "message": message,
    }
    if old is None:
        return [*conditions, made]
    return [made if each["type"] == type_ else each for each in conditions]
