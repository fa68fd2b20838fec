"""Lists in strategic merge: elements by key, sets of primitives, and the order of the result.

Order: items that the patch (or its `$setElementOrder`) names come in that order; items that only the server
has keep theirs; the two are interleaved so that a server-only item stays before the items it stood before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from control_plane.apiserver.patch.errors import MalformedPatch, PatchDoesNotApply
from control_plane.apiserver.patch.values import contains, distinct, same, type_name

DIRECTIVE = "$patch"


def are_maps(*sequences: Sequence[Any]) -> bool:
    """Whether the elements are objects; raises unless all are of one type and none is a list."""
    kinds = {type_name(element) for sequence in sequences for element in sequence}
    if "array" in kinds:
        raise PatchDoesNotApply("lists of lists are not supported")
    if len(kinds) > 1:
        raise MalformedPatch(f"list element types are not identical: {list(sequences)}")
    return kinds == {"object"}


def merge_primitives(original: list[Any], patch: list[Any]) -> list[Any]:
    return distinct([*original, *patch])


def key_of(element: Any, merge_key: str) -> Any:
    """What identifies the element: the value of its merge key, or itself in a list of primitives."""
    if not merge_key:
        return element
    if not isinstance(element, dict):
        raise MalformedPatch(f"expected a object, but received a {type_name(element)}")
    if merge_key not in element:
        raise MalformedPatch(f"map: {element} does not contain declared merge key: {merge_key}")
    return element[merge_key]


def has_key(element: Any, merge_key: str, value: Any) -> bool:
    return isinstance(element, dict) and merge_key in element and same(element[merge_key], value)


def find(items: Sequence[Any], merge_key: str, value: Any) -> int | None:
    """The position of the first element with that key."""
    return next((at for at, item in enumerate(items) if has_key(item, merge_key, value)), None)


def check_order(patch: list[Any], order: list[Any], merge_key: str) -> None:
    """Items of the patch list must occur in `$setElementOrder` and in the same relative order."""
    if not order or not patch:
        return
    wanted = [item for item in patch if not (isinstance(item, dict) and DIRECTIVE in item)]
    remaining = iter([key_of(item, merge_key) for item in order])
    for item in wanted:
        key = key_of(item, merge_key)
        if not any(same(key, candidate) for candidate in remaining):
            raise MalformedPatch(
                f"The order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n{order}\n"
            )


def places_after_deletion(original: list[Any], patch: list[Any], merge_key: str) -> list[Any]:
    """The server's order for `in_order`: elements that the patch adds take the places, at the end, of as many
    that it deletes. Kubernetes does so by an accident of slices sharing memory; clients see the order."""
    if not merge_key:
        return original
    deleted = [item.get(merge_key) for item in patch if item.get(DIRECTIVE) == "delete"]
    if not deleted:
        return original
    left = [item for item in original if not contains(deleted, item.get(merge_key))]
    added = [
        item for item in patch if DIRECTIVE not in item and find(left, merge_key, item.get(merge_key)) is None
    ]
    return (left + added)[: len(original)]


def in_order(merged: list[Any], order: list[Any], server_order: list[Any], merge_key: str) -> list[Any]:
    """The merged list arranged: items named by `order` in that order, the others as the server had them."""
    ranks = [key_of(item, merge_key) for item in order]
    server = [key_of(item, merge_key) for item in server_order]
    named: list[tuple[int, Any]] = []
    server_only: list[Any] = []
    for item in merged:
        rank = _position(ranks, key_of(item, merge_key))
        if rank < 0:
            server_only.append(item)
        else:
            named.append((rank, item))
    named.sort(key=lambda pair: pair[0])
    return _interleave(server_only, [item for _, item in named], server, merge_key)


def _interleave(left: list[Any], right: list[Any], server: list[Any], merge_key: str) -> list[Any]:
    """Both lists keep their order; an item of `left` goes before the next of `right` if it did on the
    server."""
    result: list[Any] = []
    right_at = 0
    positions = [_position(server, key_of(item, merge_key)) for item in right]
    for item in left:
        position = _position(server, key_of(item, merge_key))
        while right_at < len(right) and not 0 <= position < positions[right_at]:
            result.append(right[right_at])
            right_at += 1
        result.append(item)
    return result + right[right_at:]


def _position(keys: list[Any], key: Any) -> int:
    return next((at for at, candidate in enumerate(keys) if same(candidate, key)), -1)
