"""Ranges of keys that permissions cover. A range is [start, end); end None is beyond every key."""

from __future__ import annotations

from collections.abc import Iterable

Range = tuple[bytes, bytes | None]

TO_THE_END = b"\x00"


def key_range(key: bytes, range_end: bytes) -> Range:
    """From a request's or permission's (key, range_end)."""
    if not range_end:
        return key, key + b"\x00"
    return key, None if range_end == TO_THE_END else range_end


def merge(ranges: Iterable[Range]) -> list[Range]:
    """The same keys as disjoint ranges, sorted; what touches is joined."""
    merged: list[Range] = []
    for start, end in sorted(ranges, key=lambda each: each[0]):
        if merged and (merged[-1][1] is None or start <= merged[-1][1]):
            last_start, last_end = merged[-1]
            merged[-1] = last_start, None if last_end is None or end is None else max(last_end, end)
        else:
            merged.append((start, end))
    return merged


def covers(merged: Iterable[Range], wanted: Range) -> bool:
    """Is every key of `wanted` in one of them? They are disjoint, so one must hold it whole."""
    start, end = wanted
    return any(
        have_start <= start and (have_end is None or (end is not None and end <= have_end))
        for have_start, have_end in merged
    )
