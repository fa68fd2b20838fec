"""What rules may cost at most, by the sizes that their schemas allow."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.apiserver import cel
from control_plane.apiserver.crd import costs
from control_plane.apiserver.crd.cel_types import type_of

TEXT = {"type": "string", "maxLength": 100}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "text": TEXT,
        "names": {"type": "array", "maxItems": 10, "items": TEXT},
        "numbers": {"type": "array", "maxItems": 10, "items": {"type": "integer"}},
        "lists": {"type": "array", "maxItems": 5, "items": {"type": "array", "maxItems": 4, "items": TEXT}},
    },
}
FIELD = 2  # self, and its field


def compiled(rule: str) -> cel.Program:
    self_type = type_of(SCHEMA)
    assert self_type is not None
    return cel.compile_expression(rule, {"self": self_type})


@pytest.mark.parametrize(
    ("rule", "cost"),
    [
        ("self.numbers.isSorted()", FIELD + 10),
        ("self.names.isSorted()", FIELD + 10 * 11),
        ("self.numbers.sum()", FIELD + 10),
        ("self.names.indexOf('a')", FIELD + 10 * 11),
        ("self.text.indexOf('a')", FIELD + 10),
        ("self.numbers.sort()", FIELD + 11 + 2 * 100),
        ("self.names.sort()", FIELD + 11 + 210),
        ("self.names.distinct()", FIELD + 11 + 210),
        ("self.numbers.sortBy(n, n)", FIELD + 10 * (1 + 4) + 11 + 2 * 100),
        ("self.names.reverse()", FIELD + 11 + 10),
        ("self.names.slice(0, 3)", FIELD + 11 + 3),
        ("self.names.slice(1, size(self.text))", FIELD + 11 + 9 + FIELD + 1),
        ("self.lists.flatten()", FIELD + 11 + 5),
        ("self.lists.flatten(3)", FIELD + 11 + 15),
        ("lists.range(7)", 11 + 7),
        ("self.names.first()", FIELD + 1),
        ("self.text.lowerAscii()", FIELD + 10),
        ("self.text.replace('a', 'bb')", FIELD + 20),
        ("self.text.split(',')", FIELD + 20),
        ("self.names.join(',')", FIELD + 101),
        ("self.text.matches('^abcdefgh$')", FIELD + 11 * 3),
        ("self.text.find('abcd')", FIELD + 11),
        ("self.text.contains(self.text)", 2 * FIELD + 100),
        ("self.text.startsWith('0123456789')", FIELD + 1),
        ("sets.contains(self.numbers, self.numbers)", 2 * FIELD + 1 + 100),
        ("sets.equivalent(self.numbers, self.numbers)", 2 * FIELD + 1 + 200),
        ("isIP(self.text)", FIELD + 1),
        ("quantity('1').add(2)", 2),
        ("url(self.text).getHost()", FIELD + 10 + 1),
        ("cidr('10.0.0.0/8').containsIP(self.text)", FIELD + 1 + 4 + 10),
        ("format.dns1123Label().validate(self.text).hasValue()", FIELD + 3),
    ],
)
def test_estimates(rule: str, cost: int) -> None:
    program = compiled(rule)
    assert costs.estimate(program, SCHEMA) == cost


@pytest.mark.parametrize(
    ("rule", "bounded_by"),
    [
        ("self.text.replace('', 'ab').lowerAscii()", 50),
        ("self.text.split('').sort()", 2 * 100**2),
        ("self.names.join().contains('0123456789')", 100),
        ("lists.range(self.numbers.size())", 10**9),
    ],
    ids=["what is replaced grows", "characters are elements", "joined, they are long", "no bound at all"],
)
def test_results_have_sizes(rule: str, bounded_by: int) -> None:
    program = compiled(rule)
    assert costs.estimate(program, SCHEMA) > bounded_by
