"""Sets of completion indexes in the form of `status.completedIndexes`: "1,3-5,7"."""

from __future__ import annotations

from collections.abc import Iterable


def parse(text: str, completions: int) -> set[int]:
    """What lies outside the job's range, or cannot be read, is left out."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        if first.isdigit() and (last or first).isdigit():
            found |= set(range(int(first), min(int(last or first), completions - 1) + 1))
    return found


def form(indexes: Iterable[int]) -> str:
    runs: list[list[int]] = []
    for index in sorted(set(indexes)):
        if runs and runs[-1][1] == index - 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def first_free(taken: set[int], completions: int, count: int) -> list[int]:
    """The `count` lowest indexes that are not taken."""
    return [index for index in range(completions) if index not in taken][:count]
