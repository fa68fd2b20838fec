"""When a node is short of something: `memory.available<100Mi`, `nodefs.available<10%`. Parsed from flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from control_plane.api.quantity import QuantityError, parse
from store.component.flags import parse_duration

MEMORY, PIDS = "memory.available", "pid.available"
NODE_DISK, NODE_INODES = "nodefs.available", "nodefs.inodesFree"
IMAGE_DISK, IMAGE_INODES = "imagefs.available", "imagefs.inodesFree"

CONDITION_OF = {
    MEMORY: "MemoryPressure",
    NODE_DISK: "DiskPressure",
    NODE_INODES: "DiskPressure",
    IMAGE_DISK: "DiskPressure",
    IMAGE_INODES: "DiskPressure",
    PIDS: "PIDPressure",
}
RESOURCE_OF = {
    MEMORY: "memory",
    NODE_DISK: "ephemeral-storage",
    NODE_INODES: "inodes",
    IMAGE_DISK: "ephemeral-storage",
    IMAGE_INODES: "inodes",
    PIDS: "pids",
}
DEFAULT_HARD = (  # kubelet's
    "memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%,"
    "imagefs.available<15%,imagefs.inodesFree<5%"
)


@dataclass(frozen=True, slots=True)
class Amount:
    """So much, or such a part of the capacity."""

    units: int = 0
    fraction: float | None = None

    def of(self, capacity: int) -> int:
        return self.units if self.fraction is None else int(capacity * self.fraction)


@dataclass(frozen=True, slots=True)
class Threshold:
    signal: str
    amount: Amount
    grace_s: float = 0.0  # how long it must be met; 0: at once, and pods get no time
    min_reclaim: Amount = Amount()

    @property
    def is_hard(self) -> bool:
        return self.grace_s == 0.0


def parse_thresholds(
    hard: str = DEFAULT_HARD, soft: str = "", soft_grace: str = "", min_reclaim: str = ""
) -> tuple[Threshold, ...]:
    """Raises ValueError with what is wrong."""
    graces = {signal: parse_duration(value) for signal, value in _pairs(soft_grace, "=")}
    reclaims = {signal: _amount(signal, value) for signal, value in _pairs(min_reclaim, "=")}
    made = [
        Threshold(signal, amount, 0.0, reclaims.get(signal, Amount())) for signal, amount in _statements(hard)
    ]
    for signal, amount in _statements(soft):
        if graces.get(signal, 0.0) <= 0:
            raise ValueError(f"grace period must be specified for the soft eviction threshold {signal}")
        made.append(Threshold(signal, amount, graces[signal], reclaims.get(signal, Amount())))
    return tuple(made)


def hard_amount(thresholds: Sequence[Threshold], signal: str, capacity: int) -> int:
    """What the hard threshold of `signal` keeps back from what pods may ask for."""
    return max(
        (each.amount.of(capacity) for each in thresholds if each.signal == signal and each.is_hard), default=0
    )


def _statements(text: str) -> list[tuple[str, Amount]]:
    """0% and 100% switch a threshold off, as for kubelet."""
    found = [(signal, _amount(signal, value)) for signal, value in _pairs(text, "<")]
    return [(signal, amount) for signal, amount in found if amount.fraction not in (0.0, 1.0)]


def _pairs(text: str, operator: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for piece in (each.strip() for each in text.split(",") if each.strip()):
        signal, separator, value = piece.partition(operator)
        if not separator or not value:
            raise ValueError(f"{piece!r} is not SIGNAL{operator}VALUE")
        if signal not in CONDITION_OF:
            raise ValueError(f"unsupported eviction signal {signal}; known: {', '.join(CONDITION_OF)}")
        if signal in dict(found):
            raise ValueError(f"{signal} is given twice")
        found.append((signal, value))
    return found


def _amount(signal: str, value: str) -> Amount:
    if value.endswith("%"):
        try:
            fraction = float(value[:-1]) / 100
        except ValueError:
            fraction = -1.0
        if not 0 <= fraction <= 1:
            raise ValueError(f"eviction percentage threshold {signal} must be between 0% and 100%: {value}")
        return Amount(fraction=fraction)
    try:
        units = parse(value).value()
    except QuantityError as error:
        raise ValueError(f"eviction threshold {signal}: {error}") from error
    if units < 0:
        raise ValueError(f"eviction threshold {signal} must be positive: {value}")
    return Amount(units)
