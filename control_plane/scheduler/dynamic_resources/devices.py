"""ResourceSlices, parsed once: devices, where they can be used, and what they have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from control_plane.api import meta
from control_plane.api.quantity import NANO, parse
from control_plane.client.types import Obj
from control_plane.scheduler.framework.affinity import NodeTerm, Taint, node_terms, taints
from control_plane.scheduler.framework.node_info import NodeInfo

DeviceId = tuple[str, str, str]  # driver, pool, device
PoolId = tuple[str, str]  # driver, pool
Counters = Mapping[str, int]  # nanos by name


@dataclass(frozen=True, slots=True)
class NodeChoice:
    """From which nodes a slice's devices, or one device, can be used."""

    name: str = ""
    everywhere: bool = False
    terms: tuple[NodeTerm, ...] | None = None
    selector: Obj | None = field(default=None, compare=False)

    def matches(self, node: NodeInfo) -> bool:
        if self.name:
            return node.name == self.name
        if self.everywhere:
            return True
        return self.terms is not None and any(term.matches(node.labels, node.name) for term in self.terms)


@dataclass(frozen=True, slots=True)
class Capacity:
    """In nanos. What is asked of it is rounded up as the policy says (KEP 5075)."""

    value: int
    default: int | None = None
    valid_values: tuple[int, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    step: int | None = None
    in_range: bool = False

    def consumed(self, asked: int | None) -> int:
        if asked is None:
            return self.value if self.default is None else self.default
        if self.in_range and self.minimum is not None:
            if asked < self.minimum:
                return self.minimum
            if self.step:
                steps = -(-_units(asked - self.minimum) // _units(self.step))
                return self.minimum + steps * self.step
            return asked
        return next((each for each in self.valid_values if asked <= each), asked)

    def allows(self, consumed: int) -> bool:
        if consumed == self.default:
            return True
        if self.in_range:
            if self.maximum is not None and consumed > self.maximum:
                return False
            return not self.step or _units(consumed - (self.minimum or 0)) % _units(self.step) == 0
        return not self.valid_values or consumed in self.valid_values


def _units(nanos: int) -> int:
    return -(-nanos // NANO)


@dataclass(slots=True, eq=False)
class Device:
    id: DeviceId
    obj: Obj
    choice: NodeChoice  # the slice's, or its own where each device has one
    own_choice: bool
    taints: tuple[Taint, ...]
    consumes: tuple[tuple[str, Counters], ...]  # by counter set
    capacity: Mapping[str, Capacity]
    shared: bool  # may be allocated several times
    value: dict[str, Any] | None = None  # as expressions see it, once one has looked

    @property
    def binds_to_node(self) -> bool:
        return bool(self.obj.get("bindsToNode"))

    @property
    def must_be_made_ready(self) -> bool:
        return bool(self.obj.get("bindingConditions"))


@dataclass(slots=True, eq=False)
class Slice:
    name: str
    pool: PoolId
    generation: int
    pool_slices: int
    choice: NodeChoice | None  # None: each device has its own
    devices: tuple[Device, ...]
    counter_sets: tuple[tuple[str, Counters], ...]

    def matches(self, node: NodeInfo) -> bool:
        if self.choice is not None:
            return self.choice.matches(node)
        return any(device.choice.matches(node) for device in self.devices)


def parse_slice(obj: Obj) -> Slice:
    spec = obj["spec"]
    pool = spec["pool"]
    pool_id = (spec["driver"], pool["name"])
    choice = None if spec.get("perDeviceNodeSelection") else _choice(spec)
    return Slice(
        meta.name_of(obj),
        pool_id,
        pool.get("generation") or 0,
        pool.get("resourceSliceCount") or 0,
        choice,
        tuple(_device(pool_id, each, choice) for each in spec.get("devices") or ()),
        tuple((each["name"], _counters(each)) for each in spec.get("sharedCounters") or ()),
    )


def _choice(holder: Obj) -> NodeChoice:
    selector = holder.get("nodeSelector")
    terms = None if selector is None else node_terms(selector)
    return NodeChoice(holder.get("nodeName") or "", bool(holder.get("allNodes")), terms, selector)


def _device(pool: PoolId, obj: Obj, choice: NodeChoice | None) -> Device:
    return Device(
        (*pool, obj["name"]),
        obj,
        _choice(obj) if choice is None else choice,
        choice is None,
        taints(obj.get("taints")),
        tuple((each["counterSet"], _counters(each)) for each in obj.get("consumesCounters") or ()),
        {name: _capacity(each) for name, each in (obj.get("capacity") or {}).items()},
        bool(obj.get("allowMultipleAllocations")),
    )


def _counters(holder: Obj) -> Counters:
    return {name: parse(each["value"]).nanos for name, each in (holder.get("counters") or {}).items()}


def _capacity(obj: Obj) -> Capacity:
    policy = obj.get("requestPolicy") or {}
    limits = policy.get("validRange")
    return Capacity(
        parse(obj["value"]).nanos,
        _nanos(policy, "default"),
        tuple(parse(each).nanos for each in policy.get("validValues") or ()),
        _nanos(limits, "min"),
        _nanos(limits, "max"),
        _nanos(limits, "step"),
        limits is not None,
    )


def _nanos(holder: Obj | None, name: str) -> int | None:
    text = (holder or {}).get(name)
    return None if text is None else parse(text).nanos
