"""From measurements and a target to a number of replicas.

The number is the one at which the target would be met: ceil(ratio * pods), with ratio = measured / wanted. A ratio
close to 1 changes nothing. Pods without a usable measurement count as idle when more replicas would be made, and as
exactly busy when some would be taken away; when that turns the decision round, nothing changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from control_plane.api.meta import Object
from control_plane.controllers.podautoscaler import samples as sampling
from control_plane.controllers.podautoscaler.samples import MetricError, Sample, Samples

DEFAULT_TOLERANCE = 0.1
NO_SAMPLES = "did not receive metrics for targeted pods (pods might be unready)"


@dataclass(frozen=True, slots=True)
class Tolerances:
    """How far the ratio may be from 1 on either side."""

    down: float = DEFAULT_TOLERANCE
    up: float = DEFAULT_TOLERANCE

    def within(self, ratio: float) -> bool:
        return 1.0 - self.down <= ratio <= 1.0 + self.up


@dataclass(frozen=True, slots=True)
class Proposal:
    replicas: int
    utilization: int | None = None  # percent of what was requested
    average_milli: int = 0


Ratio = Callable[[Samples], tuple[float, int | None, int]]  # ratio, utilization, average


def by_utilization(
    current: int,
    target: int,
    pods: Sequence[Object],
    samples: Samples,
    resource: str,
    container: str,
    tolerances: Tolerances,
    now: float,
) -> Proposal:
    """`target`: percent of the requests. Raises MetricError."""
    requests = sampling.requests(pods, resource, container)

    def ratio(counted: Samples) -> tuple[float, int | None, int]:
        known = {name: each.milli for name, each in counted.items() if name in requests}
        asked = sum(requests[name] for name in known)
        if not asked:
            raise MetricError("FailedGetResourceMetric", "no metrics returned matched known pods")
        used = sum(known.values()) * 100 // asked
        return used / target, used, sum(known.values()) // len(known)

    def busy(name: str) -> int:
        return requests.get(name, 0) * max(100, target) // 100

    return _propose(current, pods, samples, resource, ratio, busy, tolerances, now)


def by_average(
    current: int,
    target_milli: int,
    pods: Sequence[Object],
    samples: Samples,
    resource: str,
    tolerances: Tolerances,
    now: float,
) -> Proposal:
    """Raises MetricError."""

    def ratio(counted: Samples) -> tuple[float, int | None, int]:
        average = sum(each.milli for each in counted.values()) // len(counted)
        return average / target_milli, None, average

    return _propose(current, pods, samples, resource, ratio, lambda _: target_milli, tolerances, now)


def _propose(
    current: int,
    pods: Sequence[Object],
    samples: Samples,
    resource: str,
    ratio_of: Ratio,
    busy: Callable[[str], int],
    tolerances: Tolerances,
    now: float,
) -> Proposal:
    groups = sampling.group(pods, samples, resource, now)
    counted = {
        name: each
        for name, each in samples.items()
        if name not in groups.unready and name not in groups.ignored
    }
    if not counted:
        raise MetricError("FailedGetResourceMetric" if resource else "FailedGetPodsMetric", NO_SAMPLES)
    ratio, utilization, average = ratio_of(counted)

    def proposal(replicas: int) -> Proposal:
        return Proposal(replicas, utilization, average)

    softened = bool(groups.missing) or (bool(groups.unready) and ratio > 1.0)
    if not softened:
        return proposal(current if tolerances.within(ratio) else math.ceil(ratio * groups.ready))
    for name in groups.missing:
        counted[name] = Sample(busy(name) if ratio < 1.0 else 0)
    if ratio > 1.0:
        counted.update({name: Sample(0) for name in groups.unready})
    new, _, _ = ratio_of(counted)
    if tolerances.within(new) or (ratio < 1.0 < new) or (new < 1.0 < ratio):
        return proposal(current)
    wanted = math.ceil(new * len(counted))
    if (new < 1.0 and wanted > current) or (new > 1.0 and wanted < current):
        return proposal(current)
    return proposal(wanted)


def by_value(
    current: int, ready: int, measured_milli: int, target_milli: int, tolerances: Tolerances
) -> Proposal:
    """One number for the whole target, which more replicas bring down."""
    ratio = measured_milli / target_milli
    if current == 0:
        return Proposal(math.ceil(ratio), None, measured_milli)
    wanted = current if tolerances.within(ratio) else math.ceil(ratio * ready)
    return Proposal(wanted, None, measured_milli)


def by_share(current: int, measured_milli: int, target_milli: int, tolerances: Tolerances) -> Proposal:
    """One number for the whole target, of which each replica is to have `target_milli`."""
    share = measured_milli // current if current else measured_milli
    if current and tolerances.within(measured_milli / (target_milli * current)):
        return Proposal(current, None, share)
    return Proposal(math.ceil(measured_milli / target_milli), None, share)
