"""What to do with an object, given its owners: keep it, cut references to owners that are gone, or delete it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.controllers.garbage_collector.graph import FOREGROUND, ORPHAN


class OwnerState(Enum):
    SOLID = "exists"
    ABSENT = "gone, or another object of that name"
    WAITING = "being deleted in the foreground, waits for its dependents"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`delete`: the propagation policy, "" for no deletion. `cut`: uids of references to remove. `unblock`: uids of
    references that must not hold their owner back any more."""

    delete: str = ""
    cut: frozenset[str] = field(default_factory=frozenset)
    unblock: frozenset[str] = field(default_factory=frozenset)


def judge(
    obj: Object, owners: Mapping[str, OwnerState], dependents_block: bool, has_dependents: bool
) -> Verdict:
    """`owners`: state by uid, of every owner reference. `dependents_block`: a dependent is itself deleting in the
    foreground because of this object, so two of them may wait for each other."""
    by_state = {state: {uid for uid, each in owners.items() if each is state} for state in OwnerState}
    if not owners or meta.is_deleting(obj):
        return Verdict()
    if by_state[OwnerState.SOLID]:
        return Verdict(cut=frozenset(by_state[OwnerState.ABSENT] | by_state[OwnerState.WAITING]))
    if by_state[OwnerState.WAITING] and has_dependents:
        unblock = frozenset(by_state[OwnerState.WAITING]) if dependents_block else frozenset()
        return Verdict(delete="Foreground", unblock=unblock)
    return Verdict(delete=propagation(meta.finalizers(obj)))


def propagation(finalizers: Iterable[str]) -> str:
    """What an earlier request for the object's deletion asked for."""
    present = set(finalizers)
    if ORPHAN in present:
        return "Orphan"
    return "Foreground" if FOREGROUND in present else "Background"


def without_owners(obj: Object, uids: frozenset[str]) -> list[Object]:
    return [each for each in meta.owner_references(obj) if each["uid"] not in uids]


def unblocked(references: Sequence[Object], uids: frozenset[str]) -> list[Object]:
    return [{**each, "blockOwnerDeletion": False} if each["uid"] in uids else each for each in references]
