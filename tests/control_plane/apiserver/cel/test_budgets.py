"""What evaluations cost, and what ends them."""

from __future__ import annotations

import pytest

from control_plane.apiserver import cel


def test_a_budget_ends_what_costs_too_much() -> None:
    program = cel.compile_expression(
        "a.all(x, a.all(y, a.all(z, x + y + z >= 0)))", {"a": cel.list_of(cel.INT)}
    )
    assert program.evaluate({"a": list(range(5))}) is True
    with pytest.raises(cel.BudgetExceeded):
        program.evaluate({"a": list(range(1000))})


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("[3, 1, 2].sort()", 10 + 11 + 2 * 9),
        ("['c', 'b'].sort()", 10 + 11 + 8),
        ("[3, 1, 2].distinct()", 10 + 11 + 2 * 9),
        ("[3, 1, 2].reverse()", 10 + 11 + 3),
        ("[3, 1, 2].slice(0, 2)", 10 + 11 + 2),
        ("[[1], [2]].flatten()", 30 + 11 + 2),
        ("lists.range(7)", 11 + 7),
    ],
)
def test_what_a_call_costs(text: str, cost: int) -> None:
    budget = cel.Budget(1000)
    cel.compile_expression(text, {}).evaluate({}, budget)
    assert 1000 - budget.left == cost


def test_a_budget_is_shared() -> None:
    program = cel.compile_expression("a.all(x, x >= 0)", {"a": cel.list_of(cel.INT)})
    budget = cel.Budget(1000)
    program.evaluate({"a": [1] * 100}, budget)
    spent = 1000 - budget.left
    assert 100 < spent < 1000
    budget.left = spent - 1
    with pytest.raises(cel.BudgetExceeded):
        program.evaluate({"a": [1] * 100}, budget)
