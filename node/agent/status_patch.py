"""The strategic merge patch that brings a pod's status from one state to the next. Pure.

Only what changed is in it. Conditions merge by type, so those of others are left alone; lists of container
statuses are replaced; a field that went away is null. The uid makes it fail for another pod of the same name.
"""

from __future__ import annotations

from typing import Any

from node.agent.pod_conditions import PASSING
from node.agent.pod_spec import Obj


def make(pod_uid: str, old: Obj, new: Obj) -> Obj | None:
    """None when there is nothing to write."""
    status: Obj = {}
    for key, value in new.items():
        if key != "conditions" and not same(old.get(key), value):
            status[key] = value
    for key in ("reason", "message"):
        if key in old and key not in new:
            status[key] = None
    if changed := _conditions(old.get("conditions") or [], new.get("conditions") or []):
        status["conditions"] = changed
    for key in ("podIPs", "hostIPs"):  # merged by ip: without this, an old address would stay
        if key in status and old.get(key):
            status[key] = [*status[key], {"$patch": "replace"}]
    return {"metadata": {"uid": pod_uid}, "status": status} if status else None


def _conditions(old: list[Obj], new: list[Obj]) -> list[Obj]:
    before = {each["type"]: each for each in old}
    changed = [
        {**_cleared(before.get(each["type"]), each), **each}
        for each in new
        if not same(before.get(each["type"]), each)
    ]
    kept = {each["type"] for each in new}
    return changed + [
        {"type": kind, "$patch": "delete"} for kind in PASSING if kind in before and kind not in kept
    ]


def _cleared(before: Obj | None, now: Obj) -> Obj:
    """What a condition no longer says, as nulls: a merge would keep it."""
    return {key: None for key in before or {} if key not in now}


def same(one: Any, other: Any) -> bool:
    """Equal as the API stores it: null, empty and absent are one."""
    if isinstance(one, dict) or isinstance(other, dict):
        left, right = one or {}, other or {}
        return (
            isinstance(left, dict)
            and isinstance(right, dict)
            and all(same(left.get(key), right.get(key)) for key in left.keys() | right.keys())
        )
    if isinstance(one, list) or isinstance(other, list):
        first, second = one or [], other or []
        return len(first) == len(second) and all(same(a, b) for a, b in zip(first, second, strict=True))
    return bool(one == other or (_empty(one) and _empty(other)))


def _empty(value: Any) -> bool:
    return value is None or value in ("", False)
