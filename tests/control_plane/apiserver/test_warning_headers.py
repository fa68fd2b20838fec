from __future__ import annotations

import pytest

from control_plane.apiserver import warning_headers as bounds


@pytest.mark.parametrize(
    ("warnings", "found"),
    [
        (["plain"], ['299 - "plain"']),
        (['a "quoted" \\ one'], ['299 - "a \\"quoted\\" \\\\ one"']),
        (["two\r\nlines"], ['299 - "twolines"']),
    ],
    ids=["plain", "quotes", "no header of its own"],
)
def test_how_a_warning_is_written(warnings: list[str], found: list[str]) -> None:
    assert bounds.headers(warnings) == found


def test_many_are_cut_to_what_a_client_takes() -> None:
    assert len(bounds.headers([f"unknown field {number}" for number in range(500)])) == bounds.MAX_WARNINGS


def test_long_ones_are_cut_when_there_are_several() -> None:
    one = bounds.headers(["x" * 4000])
    several = bounds.headers(["x" * 4000, "y" * 4000])
    assert len(one[0]) > 4000
    assert [len(each) for each in several] == [bounds.MAX_CHARS_WHEN_CUT + len('299 - ""')] * 2


def test_together_they_are_bounded() -> None:
    found = bounds.headers([f"{number} " + "x" * 1000 for number in range(60)])
    assert sum(map(len, found)) <= bounds.MAX_TOTAL_CHARS + 8 * len(found)
    assert found[0].startswith('299 - "0 ')
