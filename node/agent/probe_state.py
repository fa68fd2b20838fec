"""The counting of probes, pure: when a probe runs, and when its results become a verdict.

A verdict needs `failureThreshold` failures in a row, or `successThreshold` successes. Before the first verdict
a container counts as alive, as not ready and as not started up. Times are seconds since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from node.agent.pod_spec import Obj


class Kind(StrEnum):
    STARTUP = "startup"
    LIVENESS = "liveness"
    READINESS = "readiness"

    @property
    def field(self) -> str:
        return f"{self.value}Probe"

    @property
    def label(self) -> str:
        return self.value.capitalize()


@dataclass(frozen=True, slots=True)
class Timing:
    initial_delay_s: float
    period_s: float
    timeout_s: float
    success_threshold: int
    failure_threshold: int

    @classmethod
    def of(cls, probe: Obj) -> Timing:
        return cls(
            initial_delay_s=float(probe.get("initialDelaySeconds") or 0),
            period_s=float(probe.get("periodSeconds") or 10),
            timeout_s=float(probe.get("timeoutSeconds") or 1),
            success_threshold=int(probe.get("successThreshold") or 1),
            failure_threshold=int(probe.get("failureThreshold") or 3),
        )


@dataclass(frozen=True, slots=True)
class Count:
    """The last result and how often in a row it came."""

    ok: bool | None = None
    in_a_row: int = 0
    verdict: bool | None = None


def count(timing: Timing, before: Count, ok: bool) -> Count:
    in_a_row = before.in_a_row + 1 if ok == before.ok else 1
    threshold = timing.success_threshold if ok else timing.failure_threshold
    return Count(ok, in_a_row, ok if in_a_row >= threshold else before.verdict)


def first_at_s(timing: Timing, started_at_s: float, now_s: float) -> float:
    return max(now_s, started_at_s + timing.initial_delay_s)


def is_final(kind: Kind, state: Count) -> bool:
    """No more probing: a startup probe has come to its verdict, a failed liveness probe waits for the kill."""
    if kind is Kind.STARTUP:
        return state.verdict is not None
    return kind is Kind.LIVENESS and state.verdict is False
