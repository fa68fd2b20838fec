"""The comparison itself: it must be able to fail."""

from __future__ import annotations

import pytest

from tests.e2e.kubectl.transcript import matches, parse


@pytest.mark.parametrize(
    ("expected", "shown", "holds"),
    [
        (["a b"], ["a b"], True),
        (["a   b"], ["a b"], True),
        (["a b"], ["a c"], False),
        (["a"], ["a", "b"], False),
        (["a", "b"], ["a"], False),
        (["..."], [], True),
        (["a", "...", "z"], ["a", "b", "c", "z"], True),
        (["a", "...", "z"], ["a", "b"], False),
        (["web <age>"], ["web 12s"], True),
        (["web <age>"], ["web soon"], False),
        (["<none> <ip>"], ["<none> 10.0.0.1"], True),
        (["{old|new} text"], ["new text"], True),
        (["{old|new} text"], ["other text"], False),
        (["a", "? b", "c"], ["a", "b", "c"], True),
        (["a", "? b", "c"], ["a", "c"], True),
        (["a", "? b", "c"], ["a", "x", "c"], False),
        ([], ["something"], False),
    ],
)
def test_matching(expected: list[str], shown: list[str], holds: bool) -> None:
    assert matches(expected, shown) is holds


def test_parsing() -> None:
    first, second = parse("\n$ get pods -l 'a in (b)'\nNAME\n\n$? apply -f - < POD\n")
    assert (first.words, first.expected, first.is_eventual) == (
        ["get", "pods", "-l", "a in (b)"], ["NAME"], False,
    )  # fmt: skip
    assert (second.words, second.stdin, second.is_eventual) == (["apply", "-f", "-"], "POD", True)
