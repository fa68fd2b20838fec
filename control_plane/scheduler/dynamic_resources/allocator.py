"""Finds devices for claims on one node. Pure: a function of claims, classes, slices and what is taken.

As kube-scheduler's (k8s.io/dynamic-resource-allocation/structured): depth first and in order, the first
complete solution wins. Claims, requests and alternatives are tried in the order in which they are written,
pools by driver and name (those with devices that have to be made ready come last), devices as their slices list
them. What does not lead to a solution is undone and the next device tried; that takes at most MAX_STEPS, then it is
an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from control_plane.api import meta
from control_plane.client.types import Obj
from control_plane.scheduler.dynamic_resources import results, selectors
from control_plane.scheduler.dynamic_resources.devices import Device, DeviceId
from control_plane.scheduler.dynamic_resources.errors import NodeError, RequestError
from control_plane.scheduler.dynamic_resources.pools import Inventory, Pool, PoolView
from control_plane.scheduler.dynamic_resources.requests import (
    ALL,
    MAX_RESULTS,
    Alternative,
    Constraint,
    constraints_of,
    requests_of,
)
from control_plane.scheduler.dynamic_resources.usage import Usage
from control_plane.scheduler.framework.affinity import NO_EXECUTE, NO_SCHEDULE, untolerated
from control_plane.scheduler.framework.node_info import NodeInfo

MAX_STEPS = 20_000  # devices tried for one node

ClassOf = Callable[[str], Obj | None]


class _Outcome(Enum):
    DONE = "done"
    NOTHING = "no device is left to try"
    TOO_MANY = "more devices than a claim may have"


@dataclass(frozen=True, slots=True)
class Chosen:
    alternative: Alternative
    device: Device
    share: str = ""
    consumed: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Wanted:
    """An alternative on this node."""

    alternative: Alternative
    count: int
    device_class: Obj
    all_devices: Sequence[tuple[Pool, Device]] = ()


def allocate(
    node: NodeInfo,
    claims: Sequence[Obj],
    class_of: ClassOf,
    inventory: Inventory,
    usage: Usage,
    new_share: Callable[[], str],
) -> list[Obj] | None:
    """An AllocationResult for each claim; None when this node cannot serve them all. Raises RequestError."""
    search = _Search(node, claims, class_of, inventory.views(node), usage, new_share)
    if search.run():
        return [search.result(index) for index in range(len(claims))]
    if any(view.problem for view in search.views):
        raise NodeError("invalid resource pools were encountered")
    return None


class _Search:
    def __init__(
        self,
        node: NodeInfo,
        claims: Sequence[Obj],
        class_of: ClassOf,
        views: Sequence[PoolView],
        usage: Usage,
        new_share: Callable[[], str],
    ) -> None:
        self.node = node
        self.claims = claims
        self.views = views
        self.class_of = class_of
        self.usage = usage
        self.new_share = new_share
        self.devices = [(view.pool, device) for view in views if view.usable for device in view.devices]
        self.selectable: dict[tuple[Alternative, DeviceId], bool] = {}
        self.chosen: list[list[Chosen]] = [[] for _ in claims]
        self.picked: dict[tuple[int, int], _Wanted] = {}  # by claim and request
        self.holders: Counter[tuple[DeviceId, int]] = Counter()  # by device and claim
        self.taken: Counter[DeviceId] = Counter()
        self.shares: Counter[DeviceId] = Counter()
        self.consuming: dict[DeviceId, Counter[str]] = {}
        self.counting: dict[Pool, dict[str, Counter[str]]] = {}  # left of each counter
        self.steps = 0
        self.wanted = [self._requests(claim) for claim in claims]
        self.constraints = [constraints_of(claim) for claim in claims]

    def run(self) -> bool:
        return self._claim(0) is _Outcome.DONE

    def result(self, index: int) -> Obj:
        picked = [self.picked[index, at] for at in range(len(self.wanted[index]))]
        used = [(each.alternative, each.device_class) for each in picked]
        return results.allocation(self.claims[index], self.chosen[index], used, self.node.name)

    # ---- what is asked for

    def _requests(self, claim: Obj) -> list[list[_Wanted]]:
        found = [
            [self._want(claim, alternative) for alternative in request] for request in requests_of(claim)
        ]
        least = sum(min(each.count for each in request) for request in found)
        if least > MAX_RESULTS:
            text = f"number of requested devices {least} exceeds the claim limit of {MAX_RESULTS}"
            raise RequestError(f"claim {meta.key_of(claim)}: {text}")
        return found

    def _want(self, claim: Obj, alternative: Alternative) -> _Wanted:
        of = f"claim {meta.key_of(claim)}, request {alternative.sub or alternative.request}"
        device_class = self.class_of(alternative.class_name)
        if device_class is None:
            text = f'deviceclass.resource.k8s.io "{alternative.class_name}" not found'
            raise RequestError(f"{of}: could not retrieve device class {alternative.class_name}: {text}")
        wanted = _Wanted(alternative, alternative.count, device_class)
        if alternative.mode != ALL:
            return wanted
        for view in self.views:
            if not view.usable:
                state = "currently invalid" if view.problem else "currently being updated"
                raise NodeError(f"{of}: asks for all devices, but resource pool {view.name} is {state}")
        wanted.all_devices = [
            (pool, device)
            for pool, device in self.devices
            if self._selectable(claim, wanted, device) and self._consumption(alternative, device) is not None
        ]
        wanted.count = len(wanted.all_devices)
        return wanted

    # ---- the search

    def _claim(self, claim: int) -> _Outcome:
        if claim == len(self.claims):
            return _Outcome.DONE
        outcome = self._request(claim, 0)
        return _Outcome.NOTHING if outcome is _Outcome.TOO_MANY else outcome

    def _request(self, claim: int, request: int) -> _Outcome:
        if request == len(self.wanted[claim]):
            return self._claim(claim + 1)
        outcomes: list[_Outcome] = []
        for wanted in self.wanted[claim][request]:
            outcome = self._device(claim, request, wanted, 0, 0)
            if outcome is _Outcome.DONE:
                self.picked[claim, request] = wanted
                return outcome
            outcomes.append(outcome)
        return _Outcome.TOO_MANY if all(each is _Outcome.TOO_MANY for each in outcomes) else _Outcome.NOTHING

    def _device(self, claim: int, request: int, wanted: _Wanted, number: int, start: int) -> _Outcome:
        """The `number`-th device of a request, looked for from `start` on."""
        everything = wanted.alternative.mode == ALL
        if everything and not wanted.count:
            return _Outcome.NOTHING
        if number >= wanted.count:
            return self._request(claim, request + 1)
        if len(self.chosen[claim]) + wanted.count - number > MAX_RESULTS:
            return _Outcome.TOO_MANY
        candidates = wanted.all_devices if everything else self.devices
        last = number + 1 if everything else len(candidates)
        for at in range(number if everything else start, last):
            if not self._take(claim, wanted, *candidates[at], must=everything):
                continue
            outcome = self._device(claim, request, wanted, number + 1, at + 1)
            if outcome is _Outcome.DONE:
                return outcome
            self._give_back(claim, wanted, *candidates[at])
            if outcome is _Outcome.TOO_MANY:
                return outcome
        return _Outcome.NOTHING

    def _take(self, claim: int, wanted: _Wanted, pool: Pool, device: Device, must: bool) -> bool:
        """Choose the device, if it can be. `must`: all devices are wanted, so that a constraint cannot spare it."""
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise RequestError(f"no allocation was found in {MAX_STEPS} steps")
        alternative = wanted.alternative
        if self._in_use(claim, alternative, device):
            return False
        if not self._selectable(self.claims[claim], wanted, device):
            return False
        consumed = self._consumption(alternative, device)
        if consumed is None or untolerated(device.taints, alternative.tolerations, (NO_SCHEDULE, NO_EXECUTE)):
            return False
        counted = device.consumes and not (device.shared and self._is_shared(device.id))
        if counted and not self._counters_left(pool, device):
            return False
        if not self._constrained(claim, alternative, device, must):
            return False
        if counted:
            self._count(pool, device, -1)
        share = ""
        if device.shared:
            share = self.new_share()
            self.shares[device.id] += 1
            self.consuming.setdefault(device.id, Counter()).update(consumed)
        else:
            self.holders[device.id, claim] += 1
            self.taken[device.id] += 1
        self.chosen[claim].append(Chosen(alternative, device, share, consumed if device.shared else {}))
        return True

    def _give_back(self, claim: int, wanted: _Wanted, pool: Pool, device: Device) -> None:
        chosen = self.chosen[claim].pop()
        for constraint in self.constraints[claim]:
            constraint.remove(wanted.alternative)
        if device.shared:
            self.shares[device.id] -= 1
            self.consuming[device.id].subtract(chosen.consumed)
        else:
            self.holders[device.id, claim] -= 1
            self.taken[device.id] -= 1
        if device.consumes and not (device.shared and self._is_shared(device.id)):
            self._count(pool, device, 1)

    # ---- may a device be taken?

    def _in_use(self, claim: int, alternative: Alternative, device: Device) -> bool:
        if alternative.admin:
            return self.holders[device.id, claim] > 0
        return device.id in self.usage.taken or self.taken[device.id] > 0

    def _is_shared(self, device: DeviceId) -> bool:
        return device in self.usage.consumed or self.shares[device] > 0

    def _selectable(self, claim: Obj, wanted: _Wanted, device: Device) -> bool:
        key = (wanted.alternative, device.id)
        if key not in self.selectable:
            self.selectable[key] = self._matches(claim, wanted, device)
        return self.selectable[key]

    def _matches(self, claim: Obj, wanted: _Wanted, device: Device) -> bool:
        if device.own_choice and not device.choice.matches(self.node):
            return False
        device_class = wanted.device_class
        of_class = f"class {meta.name_of(device_class)}"
        for index, each in enumerate((device_class.get("spec") or {}).get("selectors") or ()):
            if not _selected(each["cel"]["expression"], device, f"{of_class}: selector #{index}"):
                return False
        of_claim = f"claim {meta.key_of(claim)}"
        return all(
            _selected(expression, device, f"{of_claim}: selector #{index}")
            for index, expression in enumerate(wanted.alternative.selectors)
        )

    def _consumption(self, alternative: Alternative, device: Device) -> Mapping[str, int] | None:
        """What would be used of each capacity; None when it has not that much left."""
        if not device.capacity.keys() >= alternative.capacity.keys():
            return None
        used = self.usage.consumed.get(device.id) or Counter()
        using = self.consuming.get(device.id) or Counter()
        consumed: dict[str, int] = {}
        for name, capacity in device.capacity.items():
            consumed[name] = capacity.consumed(alternative.capacity.get(name))
            total = consumed[name] + used[name] + using[name]
            if not capacity.allows(consumed[name]) or total > capacity.value:
                return None
        return consumed

    def _constrained(self, claim: int, alternative: Alternative, device: Device, must: bool) -> bool:
        added: list[Constraint] = []
        for constraint in self.constraints[claim]:
            if constraint.add(alternative, device):
                added.append(constraint)
                continue
            if must:
                of = f"claim {meta.key_of(self.claims[claim])}, request {alternative.name}"
                name = "/".join(device.id)
                raise NodeError(
                    f"{of}: cannot add device {name} because a claim constraint would not be satisfied"
                )
            for each in added:
                each.remove(alternative)
            return False
        return True

    def _counters_left(self, pool: Pool, device: Device) -> bool:
        left = self.counting.get(pool)
        if left is None:
            left = {name: Counter(counters) for name, counters in pool.counter_sets.items()}
            self.counting[pool] = left
            for each in pool.devices:
                if self.usage.uses(each.id):
                    self._count(pool, each, -1)
        return all(
            left[name][counter] >= amount
            for name, counters in device.consumes
            for counter, amount in counters.items()
        )

    def _count(self, pool: Pool, device: Device, sign: int) -> None:
        left = self.counting[pool]
        for name, counters in device.consumes:
            for counter, amount in counters.items():
                left[name][counter] += sign * amount


def _selected(expression: str, device: Device, of: str) -> bool:
    try:
        return selectors.matches(expression, device)
    except RequestError as error:
        raise RequestError(f"{of} on device {'/'.join(device.id)}: {error}") from error
