"""Sets of fields as FieldsV1 itself has them: nested mappings, so that bookkeeping costs what a write changes.

A node without members is a field; `.` among its members says that the field itself is in the set beside what is
below it. `created` and `difference` make such sets of objects; `united`, `without` and `cut` work on them and
change nothing in place.
"""

from __future__ import annotations

from typing import Any

from control_plane.api.schema import EMPTY, Node, Type
from control_plane.apiserver.patch.apply.fields import child, element_key, is_atomic

Object = dict[str, Any]
Tree = dict[str, Any]

SELF = "."
FIELD = "f:"


def created(value: Object, node: Node | None) -> Tree:
    """The fields of a new object, which a writer in Go starts from its type's zero value: what that already has
    (structs, fields that are never left out) is not added, only changed. Raises MalformedPatch."""
    found: Tree = {}
    for key, inner in value.items():
        below = child(node, key)
        if isinstance(inner, dict):
            if is_atomic(below, inner):
                found[FIELD + key] = {}
            elif below is not None and below.type is Type.STRUCT and not below.is_pointer:
                if fields := created(inner, below):
                    found[FIELD + key] = fields
            else:
                found[FIELD + key] = _added(inner, below)
        elif isinstance(inner, list):
            fields = _added(inner, below)
            if fields and below is not None and not (below.drop_empty or below.is_pointer):
                del fields[SELF]
            found[FIELD + key] = fields
        elif below is None or inner != EMPTY.get(below.type) or below.drop_empty or below.is_pointer:
            found[FIELD + key] = {}
    return found


def difference(old: Object, new: Object, node: Node | None) -> tuple[Tree, Tree]:
    """What `new` adds or gives another value, and what it no longer has. Raises MalformedPatch."""
    changed: Tree = {}
    removed: Tree = {}
    for key, value in new.items():
        if key not in old:
            changed[FIELD + key] = _added(value, child(node, key))
            continue
        before = old[key]
        if before is not value and before != value:
            _compare(FIELD + key, before, value, child(node, key), changed, removed)
    for key in old:
        if key not in new:
            removed[FIELD + key] = {}
    return changed, removed


def united(one: Tree, other: Tree) -> Tree:
    """What is in either set."""
    if not one or not other:
        return _with_self(one or other)
    made = dict(one)
    for key, below in other.items():
        if key != SELF and key in made:
            made[key] = united(made[key], below) if made[key] or below else {}
        else:
            made[key] = below
    return made


def without(tree: Tree, taken: Tree) -> Tree | None:
    """The set less these fields; None when nothing is left."""
    return _less(tree, taken, whole=False)


def cut(tree: Tree, gone: Tree) -> Tree | None:
    """The set less these fields and all that is below them; None when nothing is left."""
    return _less(tree, gone, whole=True)


def as_declared(tree: Tree, value: Any, node: Node | None) -> Tree:
    """The set as the schema is now: of what has become atomic, what was owned of it is owned as a whole. (What has
    become granular counts as if it had always been so.) Raises MalformedPatch."""
    if not tree or not isinstance(value, dict | list):
        return tree
    if is_atomic(node, value):
        return {}
    members = _members(value, node)
    made = dict(tree)
    for key, below in tree.items():
        if below and key in members:
            made[key] = as_declared(below, *members[key])
    return made


def _members(value: Any, node: Node | None) -> dict[str, tuple[Any, Node | None]]:
    if isinstance(value, dict):
        return {FIELD + key: (inner, child(node, key)) for key, inner in value.items()}
    assert node is not None, "a list that is not atomic is declared"
    return {element_key(element, node): (element, node.element) for element in value}


def is_tree(value: Any) -> bool:
    """Whether what a client sent is such a set. Raises RecursionError."""
    return isinstance(value, dict) and all(map(is_tree, value.values()))


def holds(tree: Tree, wanted: Tree) -> bool:
    """Whether all of these fields are in the set."""
    for key, below in wanted.items():
        if key not in tree:
            return False
        there = tree[key]
        if not holds(there, below) if below else there and SELF not in there:
            return False
    return True


def _added(value: Any, node: Node | None) -> Tree:
    """What was not there at all: every field, and every field that holds others."""
    if is_atomic(node, value) or not value:
        return {}
    found: Tree = {SELF: {}}
    if isinstance(value, dict):
        for key, inner in value.items():
            found[FIELD + key] = _added(inner, child(node, key)) if isinstance(inner, dict | list) else {}
        return found
    assert node is not None
    for element in value:
        found[element_key(element, node)] = _added(element, node.element) if isinstance(element, dict) else {}
    return found


def _compare(name: str, old: Any, new: Any, node: Node | None, changed: Tree, removed: Tree) -> None:
    """Two values that are not equal."""
    if type(old) is not type(new):
        changed[name] = _added(new, node)
        members: Tree = {key: {} for key in _added(old, node) if key != SELF}
        if members:
            removed[name] = members
        return
    if is_atomic(node, new):
        changed[name] = {}
        return
    if isinstance(new, dict):
        more, less = difference(old, new, node)
    else:
        assert node is not None
        more, less = _elements(old, new, node)
    if more:
        changed[name] = more
    if less:
        removed[name] = less


def _elements(old: list[Any], new: list[Any], node: Node) -> tuple[Tree, Tree]:
    changed: Tree = {}
    removed: Tree = {}
    before = {element_key(element, node): element for element in old}
    for element in new:
        key = element_key(element, node)
        known = before.pop(key, None)
        if known is None:
            changed[key] = _added(element, node.element) if isinstance(element, dict) else {}
        elif known != element:
            _compare(key, known, element, node.element, changed, removed)
    for key in before:
        removed[key] = {}
    return changed, removed


def _with_self(tree: Tree) -> Tree:
    return tree if not tree or SELF in tree else {SELF: {}, **tree}


def _less(tree: Tree, taken: Tree, whole: bool) -> Tree | None:
    made = dict(tree)
    for key, below in taken.items():
        node = made.get(key)
        if node is None:
            continue
        if key == SELF or (not below and (whole or not node)):
            del made[key]
            continue
        left = _below(node, below, whole)
        if left is None:
            del made[key]
        else:
            made[key] = left
    if not made:
        return None
    return {} if made.keys() == {SELF} else made


def _below(node: Tree, taken: Tree, whole: bool) -> Tree | None:
    """What is left of a field and its members."""
    if not taken:  # the field itself goes, its members stay
        taken = {SELF: {}}
    if not node:
        return None if SELF in taken and not whole else node
    return _less(node, taken, whole)
