"""The graph of owners and dependents, kept from the metadata of every object.

An owner that no informer has shown yet is a `virtual` node: it may exist (its kind's informer lags, or it was named
by mistake), so it is looked up in the API before anything is concluded from its absence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from control_plane.api import meta
from control_plane.api.meta import Object

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


@dataclass(frozen=True, slots=True)
class Identity:
    """Which object: its kind by apiVersion and kind, as an owner reference names it."""

    api_version: str
    kind: str
    namespace: str  # "" for cluster-scoped
    name: str
    uid: str


@dataclass(slots=True)
class Node:
    identity: Identity
    virtual: bool
    owners: list[Object] = field(default_factory=list)  # owner references
    dependents: set[str] = field(default_factory=set)  # uids
    deleting: bool = False
    finalizers: frozenset[str] = frozenset()

    @property
    def foreground(self) -> bool:
        return self.deleting and FOREGROUND in self.finalizers

    @property
    def orphaning(self) -> bool:
        return self.deleting and ORPHAN in self.finalizers

    def blocks(self, owner_uid: str) -> bool:
        """The owner's foreground deletion waits for this dependent."""
        return any(each["uid"] == owner_uid and each.get("blockOwnerDeletion") for each in self.owners)


@dataclass(slots=True)
class Changed:
    """Uids whose verdict may have changed: of the object itself or its dependents, of owners that are waiting, and
    of owners whose dependents are to be orphaned."""

    look: set[str] = field(default_factory=set)
    orphan: set[str] = field(default_factory=set)


class Graph:
    """Bounded by the number of objects that exist: a removed node without dependents is forgotten."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}

    def observe(self, identity: Identity, obj: Object) -> Changed:
        """An object was added or changed."""
        changed = Changed()
        node = self.nodes.get(identity.uid)
        if node is None:
            node = self.nodes[identity.uid] = Node(identity, virtual=False)
        was_deleting, old_owners = node.deleting, node.owners
        node.identity, node.virtual = identity, False
        node.owners = list(meta.owner_references(obj))
        node.deleting = meta.is_deleting(obj)
        node.finalizers = frozenset(meta.finalizers(obj))
        self._link(node, old_owners, changed)
        if node.orphaning:
            changed.orphan.add(identity.uid)
        if node.foreground:
            changed.look |= {identity.uid} | node.dependents
        if node.deleting and not was_deleting:
            changed.look |= self._waiting_owners(node)
        return changed

    def remove(self, uid: str) -> Changed:
        """An object is gone: its dependents and the owners that waited for it are to be looked at."""
        node = self.nodes.get(uid)
        if node is None:
            return Changed()
        changed = Changed(look=set(node.dependents) | self._waiting_owners(node))
        self._unlink(node, {each["uid"] for each in node.owners})
        if node.dependents:
            node.virtual, node.owners, node.deleting, node.finalizers = True, [], False, frozenset()
        else:
            del self.nodes[uid]
        return changed

    def dependents(self, uid: str) -> list[Node]:
        node = self.nodes.get(uid)
        return [self.nodes[each] for each in node.dependents if each in self.nodes] if node else []

    def _link(self, node: Node, old_owners: Iterable[Object], changed: Changed) -> None:
        before = {each["uid"] for each in old_owners}
        after = {each["uid"]: each for each in node.owners}
        for uid, reference in after.items():
            owner = self.nodes.get(uid)
            if owner is None:
                owner = self.nodes[uid] = Node(_identity_of(reference, node.identity.namespace), virtual=True)
            if owner.virtual and uid not in before:
                changed.look.add(uid)  # it may have gone before this dependent was seen
            owner.dependents.add(node.identity.uid)
            if owner.foreground:
                changed.look.add(uid)
        changed.look |= {
            uid for uid in before - set(after) if uid in self.nodes and self.nodes[uid].foreground
        }
        self._unlink(node, before - set(after))

    def _unlink(self, node: Node, owner_uids: Iterable[str]) -> None:
        for uid in owner_uids:
            owner = self.nodes.get(uid)
            if owner is not None:
                owner.dependents.discard(node.identity.uid)
                if owner.virtual and not owner.dependents:
                    del self.nodes[uid]

    def _waiting_owners(self, node: Node) -> set[str]:
        owners = (self.nodes.get(each["uid"]) for each in node.owners)
        return {owner.identity.uid for owner in owners if owner is not None and owner.foreground}


def _identity_of(reference: Object, namespace: str) -> Identity:
    """An owner is in its dependent's namespace, or in none; which of the two its kind says, later."""
    return Identity(
        reference["apiVersion"], reference["kind"], namespace, reference["name"], reference["uid"]
    )
