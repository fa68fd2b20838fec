"""Devices, claims and classes in one line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from control_plane.client.types import Obj
from control_plane.scheduler.framework.node_info import NodeInfo

A, B = "a.example.com", "b.example.com"
BIG = f'device.capacity["{A}"].memory.compareTo(quantity("2Gi")) >= 0'
SMALL = f'device.capacity["{A}"].memory.compareTo(quantity("1Gi")) >= 0'


def device(name: str, memory: str = "", **more: Any) -> Obj:
    capacity = {"memory": {"value": memory}} if memory else {}
    return {"name": name, **({"capacity": capacity} if capacity else {}), **more}


def slice_of(
    *devices: Obj,
    name: str = "s1",
    driver: str = A,
    pool: str = "p1",
    of: int = 1,
    gen: int = 1,
    **where: Any,
) -> Obj:
    """On n1, unless `where` says otherwise."""
    spec = {"driver": driver, "pool": {"name": pool, "generation": gen, "resourceSliceCount": of}}
    return {
        "metadata": {"name": name},
        "spec": {**spec, **(where or {"nodeName": "n1"}), "devices": list(devices)},
    }


def ask(name: str = "r", count: int = 1, cel: str = "", klass: str = "a", **more: Any) -> Obj:
    return {"name": name, "exactly": _exactly(count, cel, klass, **more)}


def first(name: str, *subs: Obj) -> Obj:
    return {"name": name, "firstAvailable": list(subs)}


def sub(name: str, count: int = 1, cel: str = "", klass: str = "a", **more: Any) -> Obj:
    return {"name": name, **_exactly(count, cel, klass, **more)}


def _exactly(count: int, cel: str, klass: str, **more: Any) -> Obj:
    selectors = [{"cel": {"expression": cel}}] if cel else []
    mode = {"allocationMode": "ExactCount", "count": count}
    return {"deviceClassName": klass, "selectors": selectors, **mode, **more}


EVERY = {"allocationMode": "All"}


def claim(
    *requests: Obj, name: str = "c", constraints: Sequence[Obj] = (), config: Sequence[Obj] = ()
) -> Obj:
    devices = {"requests": list(requests), "constraints": list(constraints), "config": list(config)}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"devices": devices}}


def device_class(name: str, driver: str, *config: Obj) -> Obj:
    selectors = [{"cel": {"expression": f'device.driver == "{driver}"'}}]
    return {"metadata": {"name": name}, "spec": {"selectors": selectors, "config": list(config)}}


CLASSES = {
    "a": device_class("a", A),
    "b": device_class("b", B),
    "configured": device_class("configured", A, {"opaque": {"driver": A, "parameters": {"from": "class"}}}),
}


def node(name: str = "n1", **labels: str) -> NodeInfo:
    info = NodeInfo(name)
    info.set_node({"metadata": {"name": name, "labels": labels}})
    return info


def taken(*names: str, consumed: Mapping[str, str] | None = None) -> Obj:
    """An allocation of devices of pool p1."""
    shared = {"shareID": "x", "consumedCapacity": dict(consumed)} if consumed else {}
    results = [{"driver": A, "pool": "p1", "device": name, **shared} for name in names]
    return {"devices": {"results": results}}


def attributes(**values: Any) -> Obj:
    kinds = {bool: "bool", int: "int", str: "string"}
    return {"attributes": {name: {kinds[type(value)]: value} for name, value in values.items()}}


def numas(name: str, *numbers: int) -> Obj:
    return device(name, attributes={"numa": {"ints": list(numbers)}})


def versioned(version: str) -> Obj:
    return {"attributes": {"driverVersion": {"version": version}}}


D1, D2, D3 = device("d1"), device("d2"), device("d3")
SMALL_BIG = [device("small", "1Gi"), device("big", "2Gi")]
NO_SCHEDULE = {"key": "k", "value": "v", "effect": "NoSchedule"}
NO_EXECUTE = {"key": "k", "value": "w", "effect": "NoExecute"}
TOLERATE = {"key": "k", "operator": "Exists"}
ONLY_NO_SCHEDULE = {"key": "k", "operator": "Exists", "effect": "NoSchedule"}
SAME_NUMA = [{"matchAttribute": f"{A}/numa"}]
DISTINCT = [{"distinctAttribute": f"{A}/numa"}]
ZONE_A = {
    "nodeSelector": {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]
    }
}
NUMA_1_2_2 = [
    device("d1", **attributes(numa=1)),
    device("d2", **attributes(numa=2)),
    device("d3", **attributes(numa=2)),
]
COUNTERS = {"name": "memory", "counters": {"gi": {"value": "3"}}}


def part(name: str, gi: str) -> Obj:
    return device(name, consumesCounters=[{"counterSet": "memory", "counters": {"gi": {"value": gi}}}])


PARTS = [slice_of(part("d1", "2"), part("d2", "2"), part("d3", "1"), of=2)]
COUNTER_SLICE = slice_of(name="counters", of=2, nodeName="n1", sharedCounters=[COUNTERS])
POLICY = {"default": "2", "validRange": {"min": "2", "step": "2", "max": "6"}}


def shared(name: str = "d1", value: str = "8", policy: Obj | None = None) -> Obj:
    capacity = {"slots": {"value": value, **({"requestPolicy": policy} if policy else {})}}
    return {"name": name, "allowMultipleAllocations": True, "capacity": capacity}


def slots(amount: str, name: str = "r") -> Obj:
    return ask(name, capacity={"requests": {"slots": amount}})


LOCAL = {
    "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]
}
