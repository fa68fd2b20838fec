"""Pools: all slices of one driver under one name, of the newest generation only.

A pool whose driver has not published all slices of its newest generation yet is incomplete: its devices are
not given out, and nobody can say what "all devices" are. One that contradicts itself is invalid.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from control_plane.scheduler.dynamic_resources.devices import Counters, Device, PoolId, Slice
from control_plane.scheduler.framework.node_info import NodeInfo


@dataclass(slots=True, eq=False)
class Pool:
    id: PoolId
    slices: tuple[Slice, ...]  # by name
    complete: bool
    counter_sets: Mapping[str, Counters]
    problem: str  # why it is invalid, if it is

    @property
    def devices(self) -> Iterable[Device]:
        return (device for each in self.slices for device in each.devices)


@dataclass(slots=True, eq=False)
class PoolView:
    """What of a pool can be used from one node."""

    pool: Pool
    devices: tuple[Device, ...]
    problem: str
    last: bool  # some device has to be made ready

    @property
    def name(self) -> str:
        return "/".join(self.pool.id)

    @property
    def usable(self) -> bool:
        return self.pool.complete and not self.problem


@dataclass(slots=True, eq=False)
class Inventory:
    """Every pool. Pools of one node are found by its name; only the others are matched node by node."""

    by_node: Mapping[str, Sequence[PoolView]]
    elsewhere: Sequence[Pool]

    def views(self, node: NodeInfo) -> list[PoolView]:
        """As kube-scheduler goes through them."""
        found = [*self.by_node.get(node.name, ())]
        for pool in self.elsewhere:
            slices = [each for each in pool.slices if each.matches(node)]
            if slices:
                found.append(_view(pool, slices))
        return sorted(found, key=lambda view: (view.last, view.pool.id))


def inventory(slices: Iterable[Slice]) -> Inventory:
    grouped: dict[PoolId, list[Slice]] = defaultdict(list)
    for each in slices:
        grouped[each.pool].append(each)
    by_node: dict[str, list[PoolView]] = defaultdict(list)
    elsewhere: list[Pool] = []
    for pool_id in sorted(grouped):
        pool = _pool(pool_id, grouped[pool_id])
        names = {each.choice.name if each.choice is not None else "" for each in pool.slices}
        if len(names) == 1 and (name := names.pop()):
            by_node[name].append(_view(pool, pool.slices))
        else:
            elsewhere.append(pool)
    return Inventory(by_node, elsewhere)


def _pool(pool_id: PoolId, slices: Sequence[Slice]) -> Pool:
    newest = max(each.generation for each in slices)
    current = sorted((each for each in slices if each.generation == newest), key=lambda each: each.name)
    sets: dict[str, Counters] = {}
    problem = ""
    for name, counters in (each for one in current for each in one.counter_sets):
        if name in sets:
            problem = f"duplicate counter set name {name}"
        sets[name] = counters
    complete = len(current) == current[0].pool_slices
    pool = Pool(pool_id, tuple(current), complete, sets, problem)
    if complete and not problem:
        pool.problem = _wrong_counters(pool)
    return pool


def _wrong_counters(pool: Pool) -> str:
    for device in pool.devices:
        for name, counters in device.consumes:
            if name not in pool.counter_sets:
                return f"counter set {name} not found"
            for counter in counters:
                if counter not in pool.counter_sets[name]:
                    return f"counter {counter} not found in counter set {name}"
    return ""


def _view(pool: Pool, slices: Sequence[Slice]) -> PoolView:
    devices = tuple(device for each in slices for device in each.devices)
    problem = pool.problem
    seen: set[str] = set()
    for device in devices:
        if device.id[2] in seen:
            problem = problem or f"duplicate device name {device.id[2]}"
        seen.add(device.id[2])
    return PoolView(pool, devices, problem, any(device.must_be_made_ready for device in devices))
