"""How fast the wanted number of replicas may be approached.

Stabilisation looks back: up only to the lowest, down only to the highest recommendation of the window. Policies say
how many replicas may come or go within a period. Both need history, which is kept in memory: after a restart the
windows begin anew with what is there.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from control_plane.api import quantity
from control_plane.api.meta import Object
from control_plane.controllers.podautoscaler.replicas import DEFAULT_TOLERANCE, Tolerances

DOWN_STABILIZATION_S = 300
Pick = Callable[[Sequence[int]], int]
HISTORY_LIMIT = 2000  # entries; at one every 15 s more than the longest window (an hour)
DEFAULT_UP: Object = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
}
DEFAULT_DOWN: Object = {
    "stabilizationWindowSeconds": DOWN_STABILIZATION_S,
    "selectPolicy": "Max",
    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
}


@dataclass(slots=True)
class History:
    """(time, number) each: recommendations, and by how much it was scaled up and down."""

    recommendations: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=HISTORY_LIMIT))
    ups: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=HISTORY_LIMIT))
    downs: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=HISTORY_LIMIT))

    def scaled(self, before: int, after: int, now: float) -> None:
        if after > before:
            self.ups.append((now, after - before))
        elif after < before:
            self.downs.append((now, before - after))


@dataclass(frozen=True, slots=True)
class Limited:
    """What was made of the wanted number, and why: a reason of the condition ScalingLimited, or ""."""

    replicas: int
    reason: str = ""
    message: str = "the desired count is within the acceptable range"
    stabilized: str = ""  # ScaleUpStabilized, ScaleDownStabilized


def rules(autoscaler: Object, direction: str) -> Object:
    """`direction`: scaleUp or scaleDown; what the spec leaves out has its default."""
    given = (autoscaler["spec"].get("behavior") or {}).get(direction) or {}
    default = DEFAULT_UP if direction == "scaleUp" else DEFAULT_DOWN
    return {**default, **{key: value for key, value in given.items() if value is not None}}


def tolerances(autoscaler: Object) -> Tolerances:
    found = [rules(autoscaler, each).get("tolerance") for each in ("scaleDown", "scaleUp")]
    down, up = (DEFAULT_TOLERANCE if each is None else _fraction(each) for each in found)
    return Tolerances(down, up)


def _fraction(text: object) -> float:
    return quantity.parse(str(text)).as_float()


def limit(autoscaler: Object, current: int, wanted: int, history: History, now: float) -> Limited:
    stable, stabilized = _stabilize(autoscaler, current, wanted, history, now)
    lowest, highest = bounds(autoscaler)
    if stable > current:
        most = max(_most(rules(autoscaler, "scaleUp"), current, history, now), current)
        if stable > min(most, highest):
            return _too_many(min(most, highest), by_rate=most < highest)
    elif stable < current:
        least = min(_least(rules(autoscaler, "scaleDown"), current, history, now), current)
        if stable < max(least, lowest):
            return _too_few(max(least, lowest), by_rate=least > lowest)
    if stable > highest:
        return _too_many(highest, by_rate=False)
    if stable < lowest:
        return _too_few(lowest, by_rate=False)
    return Limited(stable, stabilized=stabilized)


def bounds(autoscaler: Object) -> tuple[int, int]:
    spec = autoscaler["spec"]
    lowest = spec.get("minReplicas")
    return (1 if lowest is None else int(lowest)), int(spec["maxReplicas"])


def _too_many(replicas: int, *, by_rate: bool) -> Limited:
    if by_rate:
        text = "the desired replica count is increasing faster than the maximum scale rate"
        return Limited(replicas, "ScaleUpLimit", text)
    return Limited(
        replicas, "TooManyReplicas", "the desired replica count is more than the maximum replica count"
    )


def _too_few(replicas: int, *, by_rate: bool) -> Limited:
    if by_rate:
        text = "the desired replica count is decreasing faster than the maximum scale rate"
        return Limited(replicas, "ScaleDownLimit", text)
    return Limited(
        replicas, "TooFewReplicas", "the desired replica count is less than the minimum replica count"
    )


def _stabilize(
    autoscaler: Object, current: int, wanted: int, history: History, now: float
) -> tuple[int, str]:
    if not history.recommendations:
        history.recommendations.append((now, current))  # what was recommended before we knew of it
    up_s = int(rules(autoscaler, "scaleUp")["stabilizationWindowSeconds"])
    down_s = int(rules(autoscaler, "scaleDown")["stabilizationWindowSeconds"])
    floor = min([wanted, *_since(history.recommendations, now - up_s)])
    ceiling = max([wanted, *_since(history.recommendations, now - down_s)])
    history.recommendations.append((now, wanted))
    stable = min(max(current, floor), ceiling)
    if stable == wanted:
        return stable, ""
    return stable, "ScaleDownStabilized" if wanted < stable else "ScaleUpStabilized"


def _since(entries: Iterable[tuple[float, int]], start: float) -> list[int]:
    return [number for at, number in entries if at > start]


def _most(rule: Object, current: int, history: History, now: float) -> int:
    proposals = []
    for policy in rule.get("policies") or ():
        before = _at_start(policy, current, history, now)
        value = int(policy["value"])
        proposals.append(
            before + value if policy["type"] == "Pods" else math.ceil(before * (100 + value) / 100)
        )
    return _choose(rule, proposals, current, max, min)


def _least(rule: Object, current: int, history: History, now: float) -> int:
    proposals = []
    for policy in rule.get("policies") or ():
        before = _at_start(policy, current, history, now)
        value = int(policy["value"])
        proposals.append(before - value if policy["type"] == "Pods" else before * (100 - value) // 100)
    return _choose(rule, proposals, current, min, max)


def _choose(rule: Object, proposals: Sequence[int], current: int, most: Pick, least: Pick) -> int:
    if rule["selectPolicy"] == "Disabled" or not proposals:
        return current
    chosen = least if rule["selectPolicy"] == "Min" else most
    return chosen(proposals)


def _at_start(policy: Object, current: int, history: History, now: float) -> int:
    """How many there were when the policy's period began."""
    start = now - int(policy["periodSeconds"])
    return current - sum(_since(history.ups, start)) + sum(_since(history.downs, start))
