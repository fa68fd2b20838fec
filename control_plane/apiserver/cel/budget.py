"""What evaluations may cost. One unit is about one step of the evaluation."""

from __future__ import annotations

from control_plane.apiserver.cel.errors import BudgetExceeded

PER_CALL_LIMIT = 1_000_000  # of one expression, as in Kubernetes
STRING_COST_DIVISOR = 10  # traversing ten characters costs one


class Budget:
    """Counts down; shared by evaluations that must not cost more than so much together."""

    __slots__ = ("left",)

    def __init__(self, limit: int = PER_CALL_LIMIT) -> None:
        self.left = limit

    def charge(self, cost: int) -> None:
        """Raises BudgetExceeded."""
        self.left -= cost
        if self.left < 0:
            raise BudgetExceeded

    def charge_for(self, size: int) -> None:
        """For the traversal of so many characters."""
        self.charge(-(-size // STRING_COST_DIVISOR))
