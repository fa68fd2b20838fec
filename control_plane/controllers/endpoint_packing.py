"""Which endpoint goes into which slice, so that few slices are written. Pure.

An endpoint stays in the slice it is in. What is left goes into slices that have to be written anyway, the fullest
first; then, if it fits, into the fullest other one that has the room; then into new ones.
"""

from __future__ import annotations

from collections.abc import Sequence

from control_plane.api import meta
from control_plane.api.meta import Object

MAX_ENDPOINTS = 100


def identity(endpoint: Object) -> tuple[str, str]:
    return meta.nested(endpoint, "targetRef", "uid", default=""), endpoint["addresses"][0]


def pack(
    slices: Sequence[Sequence[Object]], written: Sequence[bool], wanted: Sequence[Object]
) -> tuple[list[list[Object]], list[list[Object]]]:
    """(what each slice holds then, what new ones hold). `written`: those that are written in any case."""
    left = {identity(each): each for each in wanted}
    contents = [[left.pop(key) for old in each if (key := identity(old)) in left] for each in slices]
    rest = list(left.values())
    at = range(len(slices))
    touched = {each for each in at if contents[each] and (written[each] or contents[each] != slices[each])}
    for each in _fullest_first(contents, touched):
        rest = _fill(contents[each], rest)
    new: list[list[Object]] = []
    untouched = {each for each in at if contents[each]} - touched
    while rest:
        fitting = [
            each for each in _fullest_first(contents, untouched)
            if len(contents[each]) + len(rest) <= MAX_ENDPOINTS
        ]  # fmt: skip
        if not fitting:
            new.append([])
        rest = _fill(contents[fitting[0]] if fitting else new[-1], rest)
    return contents, new


def _fullest_first(contents: Sequence[list[Object]], which: set[int]) -> list[int]:
    return sorted(which, key=lambda each: (-len(contents[each]), each))


def _fill(content: list[Object], rest: list[Object]) -> list[Object]:
    """What did not fit."""
    room = MAX_ENDPOINTS - len(content)
    content += rest[:room]
    return rest[room:]
