"""What a pod or node says to the scheduler beyond the API's fields: labels or annotations below
`scheduling.balsa.dev/`. Pure; what cannot be read counts as not said.

    group, min-member, group-timeout     of a pod: all or none (GangScheduling)
    data                                 of a pod: the data it works on; of a node: what it holds (DataLocality)
    noisy, sensitive, interference       of a pod: what it disturbs, and is disturbed by (Interference)
    pressure                             of a node: how busy each of its resources was measured to be (Interference)
    deadline, deadline-policy            of a pod: by when it should have a node (PrioritySort, DeadlinePreemption)
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from control_plane.api import meta
from control_plane.client.types import Obj

PREFIX = "scheduling.balsa.dev/"
GROUP, MIN_MEMBER, GROUP_TIMEOUT = PREFIX + "group", PREFIX + "min-member", PREFIX + "group-timeout"
DATA = PREFIX + "data"
NOISY, SENSITIVE, INTERFERENCE = PREFIX + "noisy", PREFIX + "sensitive", PREFIX + "interference"
PRESSURE = PREFIX + "pressure"
DEADLINE, DEADLINE_POLICY = PREFIX + "deadline", PREFIX + "deadline-policy"

DEFAULT_GROUP_TIMEOUT_S = 60.0
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def said(obj: Obj, key: str) -> str:
    metadata = obj["metadata"]
    for where in ("annotations", "labels"):
        if text := (metadata.get(where) or {}).get(key):
            return str(text)
    return ""


def words(obj: Obj, key: str) -> frozenset[str]:
    """`a,b`: the names."""
    return frozenset(part.strip() for part in said(obj, key).split(",") if part.strip())


def amounts(obj: Obj, key: str) -> dict[str, float]:
    """`cpu=0.8,disk=0.3`; a name without a number counts 1."""
    found: dict[str, float] = {}
    for part in words(obj, key):
        name, _, number = part.partition("=")
        try:
            found[name] = float(number) if number else 1.0
        except ValueError:
            continue
    return found


def duration_s(text: str) -> float | None:
    """`90s`, `1m30s`, `500ms`."""
    if not re.fullmatch(r"(\d+(\.\d+)?(ms|s|m|h))+", text):
        return None
    return sum(float(n) * _UNITS_S[unit] for n, unit in re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text))


@dataclass(frozen=True, slots=True)
class Group:
    namespace: str
    name: str
    min_member: int
    timeout_s: float


def group_of(pod: Obj) -> Group | None:
    """None for a pod on its own, or in a group of one."""
    name, least = said(pod, GROUP), said(pod, MIN_MEMBER)
    if not name or not least.isdigit() or int(least) < 2:
        return None
    timeout_s = duration_s(said(pod, GROUP_TIMEOUT))
    return Group(meta.namespace_of(pod), name, int(least), timeout_s or DEFAULT_GROUP_TIMEOUT_S)


def deadline_s(pod: Obj) -> float | None:
    """In seconds since the epoch: a time, or a duration after the pod's creation."""
    text = said(pod, DEADLINE)
    if not text:
        return None
    after_s = duration_s(text)
    if after_s is None:
        return meta.parse_time(text)
    created_s = meta.parse_time(pod["metadata"].get("creationTimestamp"))
    return None if created_s is None else created_s + after_s
