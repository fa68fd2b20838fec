"""An object's life in its metadata: what the server sets at birth, keeps through updates, and marks for deletion.

Pure functions of the object, the options and the time. Deletion is a decision:

| the object                                              | what a DELETE does                                |
|---------------------------------------------------------|---------------------------------------------------|
| has finalizers (or gets one by its propagation policy)  | is marked: deletionTimestamp, grace 0             |
| is a Pod on a node, not finished, with a grace period   | is marked with the grace; its node removes it     |
| is marked already                                       | its grace can only be shortened                   |
| else                                                    | is removed                                        |

A marked object is removed by the update that takes away its last finalizer, once no grace is left.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from control_plane.api import meta
from control_plane.api.strategy import Strategy
from control_plane.apiserver.handlers.options import FOREGROUND, ORPHAN, DeleteOptions

Object = dict[str, Any]

ORPHAN_FINALIZER = "orphan"
FOREGROUND_FINALIZER = "foregroundDeletion"

_SUFFIX_CHARS = "bcdfghjklmnpqrstvwxz2456789"  # no vowels, and nothing that looks like another
_SUFFIX_LENGTH = 5
_MAX_GENERATED_BASE = 63 - _SUFFIX_LENGTH
_SET_BY_SERVER = ("selfLink", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")
_KEPT = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generateName")


def generated_name(base: str, random_source: random.Random | None = None) -> str:
    choose = (random_source or random).choices
    return base[:_MAX_GENERATED_BASE] + "".join(choose(_SUFFIX_CHARS, k=_SUFFIX_LENGTH))


def begin(obj: Object, uid: str, now_s: float) -> None:
    """The metadata of a new object."""
    metadata = obj["metadata"]
    for field in _SET_BY_SERVER:
        metadata.pop(field, None)
    metadata["uid"] = uid
    metadata["creationTimestamp"] = meta.rfc3339(now_s)
    metadata.pop("resourceVersion", None)


def carry_over(new: Object, old: Object) -> None:
    """What an update cannot change: taken from the old object."""
    theirs, ours = old["metadata"], new["metadata"]
    for field in _KEPT:
        if field in theirs:
            ours[field] = theirs[field]
        elif field != "generateName":
            ours.pop(field, None)
    ours.pop("selfLink", None)


def may_be_removed(obj: Object) -> bool:
    """Whether an update left nothing that holds a marked object."""
    metadata = obj["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    if _has_spec_finalizers(obj):
        return False
    return not metadata.get("deletionGracePeriodSeconds")


@dataclass(slots=True)
class Deletion:
    """`remove`: the object goes now. Else `object` (marked) is written, if `changed`."""

    object: Object
    remove: bool
    changed: bool


def deletion(obj: Object, strategy: Strategy, options: DeleteOptions, now_s: float) -> Deletion:
    """What deleting `obj` (a copy of the caller's own) comes to."""
    metadata = obj["metadata"]
    finalizers = _finalizers(obj, strategy, options)
    was_marked = bool(metadata.get("deletionTimestamp"))
    changed = finalizers != (metadata.get("finalizers") or [])
    grace_s = strategy.grace_period_s(obj, options.grace_period_s)
    held = bool(finalizers) or _has_spec_finalizers(obj)
    if not held and grace_s == 0:
        return Deletion(obj, remove=True, changed=False)
    if was_marked and not _shortens(metadata, options, grace_s):
        if not held and not metadata.get("deletionGracePeriodSeconds"):
            return Deletion(obj, remove=True, changed=False)
    else:
        _mark(obj, grace_s, now_s)
        changed = True
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
    return Deletion(obj, remove=False, changed=changed)


def _has_spec_finalizers(obj: Object) -> bool:
    return obj["kind"] == "Namespace" and bool((obj.get("spec") or {}).get("finalizers"))


def _mark(obj: Object, grace_s: int, now_s: float) -> None:
    metadata = obj["metadata"]
    metadata["deletionTimestamp"] = meta.rfc3339(now_s + grace_s)
    metadata["deletionGracePeriodSeconds"] = grace_s
    if metadata.get("generation"):
        metadata["generation"] += 1
    if obj["kind"] == "Namespace":
        obj.setdefault("status", {})["phase"] = "Terminating"
        metadata.pop("deletionGracePeriodSeconds")


def _shortens(metadata: Object, options: DeleteOptions, grace_s: int) -> bool:
    current = metadata.get("deletionGracePeriodSeconds") or 0
    return options.grace_period_s is not None and grace_s < current


def _finalizers(obj: Object, strategy: Strategy, options: DeleteOptions) -> list[str]:
    """The finalizers with those of the garbage collector as the propagation policy wants them."""
    current: list[str] = obj["metadata"].get("finalizers") or []
    policy = options.propagation or _default_policy(current, strategy)
    others = [each for each in current if each not in (ORPHAN_FINALIZER, FOREGROUND_FINALIZER)]
    if policy == ORPHAN:
        return [*others, ORPHAN_FINALIZER]
    if policy == FOREGROUND:
        return [*others, FOREGROUND_FINALIZER]
    return others


def _default_policy(current: list[str], strategy: Strategy) -> str:
    """Without a policy an earlier one stays, then the kind's own is taken."""
    if ORPHAN_FINALIZER in current:
        return ORPHAN
    if FOREGROUND_FINALIZER in current:
        return FOREGROUND
    return strategy.default_propagation
