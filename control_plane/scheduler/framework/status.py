"""What a plugin says about a pod (and a node). None stands for Success everywhere, so that the common
answer is free.

    SUCCESS                          go on
    ERROR                            something broke; the pod is tried again with backoff
    UNSCHEDULABLE                    not now; removing other pods may help
    UNSCHEDULABLE_AND_UNRESOLVABLE   not now, and removing pods will not help (preemption skips the node)
    WAIT                             Permit: not yet
    SKIP                             PreFilter, PreScore, Bind: the plugin has nothing to do for this pod
    PENDING                          rejected until an outside component acts
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Code(IntEnum):
    SUCCESS = 0
    ERROR = 1
    UNSCHEDULABLE = 2
    UNSCHEDULABLE_AND_UNRESOLVABLE = 3
    WAIT = 4
    SKIP = 5
    PENDING = 6


@dataclass(frozen=True, slots=True)
class Status:
    code: Code
    reasons: tuple[str, ...] = ()
    plugin: str = ""

    @property
    def message(self) -> str:
        return ", ".join(self.reasons)

    @property
    def rejected(self) -> bool:
        """The pod (or node) was judged and did not pass."""
        return self.code in (Code.UNSCHEDULABLE, Code.UNSCHEDULABLE_AND_UNRESOLVABLE, Code.PENDING)

    def by(self, plugin: str) -> Status:
        return self if self.plugin else Status(self.code, self.reasons, plugin)


SKIP = Status(Code.SKIP)


def unschedulable(*reasons: str) -> Status:
    return Status(Code.UNSCHEDULABLE, reasons)


def unresolvable(*reasons: str) -> Status:
    return Status(Code.UNSCHEDULABLE_AND_UNRESOLVABLE, reasons)


def error(reason: str) -> Status:
    return Status(Code.ERROR, (reason,))
