"""What a call of a function may cost at most, and how large its result may be: Kubernetes' estimates.

Traversing ten characters costs one. What is not listed costs one, besides its arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf

STRING_FACTOR = 0.1
_PATTERN_FACTOR = 0.25
_ALLOCATION = 11  # of a call that makes a list
_ADDRESS = 16  # the bytes of an IPv6 address


@dataclass(frozen=True, slots=True)
class Argument:
    """`size` is what it may have at most, characters or elements; `literal` a number that is written out."""

    size: int
    element_size: int = 1
    is_text: bool = False
    holds_text: bool = False
    literal: int | None = None


Arguments = Sequence[Argument]
Costs = tuple[float, float]  # of the call, the size of its result


def cost_of(name: str, arguments: Arguments) -> tuple[int, int]:
    """`name` is with its package where it has one (`sets.contains`); of a method the target is the first
    argument."""
    found = _CALLS.get((name, len(arguments))) or _CALLS.get((name, 0))
    cost, size = found(arguments) if found is not None else (1, 1)
    return _whole(cost), _whole(size)


def _whole(value: float) -> int:
    return ceil(min(value, 1 << 62))


def _traversing(times: float, keeps_size: bool) -> Callable[[Arguments], Costs]:
    return lambda given: (given[0].size * times * STRING_FACTOR, given[0].size if keeps_size else 1)


def _of_last(given: Arguments) -> Costs:
    return ceil(given[-1].size * STRING_FACTOR), 1


def _of_list(given: Arguments) -> Costs:
    """One comparison for each element; of a string, its traversal."""
    held = given[0]
    if held.is_text:
        return held.size * STRING_FACTOR, 1
    each = 1 + (held.element_size * STRING_FACTOR if held.holds_text else 0)
    return held.size * each, held.element_size


def _matching(given: Arguments) -> Costs:
    text, pattern = given[0], given[1]
    return ceil((text.size + 1) * STRING_FACTOR) * ceil(pattern.size * _PATTERN_FACTOR), text.size


def _containing(given: Arguments) -> Costs:
    return ceil(given[0].size * STRING_FACTOR) * ceil(given[1].size * STRING_FACTOR), 1


def _replacing(given: Arguments) -> Costs:
    """The longest result is that of replacing nothing: there is some around each character."""
    text, replacement = given[0], given[2]
    return text.size * 2 * STRING_FACTOR, (text.size + 1) * replacement.size + text.size


def _splitting(given: Arguments) -> Costs:
    size = given[2].literal if len(given) > 2 and given[2].literal is not None else given[0].size
    return given[0].size * 2 * STRING_FACTOR, max(size, 0)


def _joining(given: Arguments) -> Costs:
    held = given[0]
    separators = given[1].size * max(held.size - 1, 0) if len(given) > 1 else 0
    size = held.size * held.element_size + separators
    return size * STRING_FACTOR, size


def _comparing_all(given: Arguments) -> Costs:
    """Each element with each."""
    held = given[0]
    return _ALLOCATION + (2 + (STRING_FACTOR if held.holds_text else 0)) * held.size**2, held.size


def _product(times: int) -> Callable[[Arguments], Costs]:
    return lambda given: (1 + times * given[0].size * given[1].size, 1)


def _slicing(given: Arguments) -> Costs:
    start, end = given[1].literal or 0, given[2].literal
    size = max((given[0].size if end is None else end) - start, 0)
    return _ALLOCATION + size, size


def _flattening(given: Arguments) -> Costs:
    depth = 1.0
    if len(given) > 1:
        depth = inf if given[1].literal is None else max(given[1].literal, 0)
    size = given[0].size
    return _ALLOCATION + depth * size, size * given[0].element_size


def _range(given: Arguments) -> Costs:
    size = inf if given[0].literal is None else max(given[0].literal, 0)
    return _ALLOCATION + size, size


def _reversing(given: Arguments) -> Costs:
    return _ALLOCATION + given[0].size, given[0].size


def _containing_address(given: Arguments) -> Costs:
    return ceil(2 * _ADDRESS * STRING_FACTOR) + _parsing(given[1]), 1


def _containing_network(given: Arguments) -> Costs:
    return ceil(2 * _ADDRESS * STRING_FACTOR) + ceil(_ADDRESS * STRING_FACTOR) + 1 + _parsing(given[1]), 1


def _parsing(given: Argument) -> float:
    return given.size * STRING_FACTOR if given.is_text else 0


def _formatting(given: Arguments) -> Costs:
    return given[0].size * STRING_FACTOR, given[0].size + given[1].size * given[1].element_size


_CALLS: Mapping[tuple[str, int], Callable[[Arguments], Costs]] = {
    **{(name, 0): _of_list for name in ("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf")},
    **{
        (name, 0): _traversing(1, True) for name in ("lowerAscii", "upperAscii", "substring", "trim", "bytes")
    },
    **{(name, 0): _of_last for name in ("startsWith", "endsWith", "url", "duration", "timestamp")},
    **{(name, 0): _matching for name in ("matches", "find", "findAll")},
    **{(name, 0): _comparing_all for name in ("sort", "distinct")},
    ("string", 1): _traversing(1, True),
    ("contains", 2): _containing,
    ("replace", 0): _replacing,
    ("split", 0): _splitting,
    ("join", 0): _joining,
    ("format", 2): _formatting,
    ("sets.contains", 2): _product(1),
    ("sets.intersects", 2): _product(1),
    ("sets.equivalent", 2): _product(2),
    ("slice", 3): _slicing,
    ("flatten", 0): _flattening,
    ("reverse", 1): _reversing,
    ("lists.range", 1): _range,
    ("containsIP", 2): _containing_address,
    ("containsCIDR", 2): _containing_network,
    ("orValue", 2): lambda given: (1, max(each.size for each in given)),
    ("value", 1): lambda given: (1, given[0].size),
}
