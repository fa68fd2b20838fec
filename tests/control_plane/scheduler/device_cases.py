"""Which devices claims get: kube-scheduler's cases (k8s.io/dynamic-resource-allocation/structured), as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from control_plane.client.types import Obj
from control_plane.scheduler.framework.node_info import NodeInfo
from tests.control_plane.scheduler.devices import (
    BIG,
    COUNTER_SLICE,
    COUNTERS,
    D1,
    D2,
    DISTINCT,
    EVERY,
    NO_EXECUTE,
    NO_SCHEDULE,
    NUMA_1_2_2,
    ONLY_NO_SCHEDULE,
    PARTS,
    POLICY,
    SAME_NUMA,
    SMALL,
    SMALL_BIG,
    TOLERATE,
    ZONE_A,
    A,
    B,
    ask,
    attributes,
    claim,
    device,
    first,
    node,
    numas,
    part,
    shared,
    slice_of,
    slots,
    sub,
    taken,
    versioned,
)


@dataclass(frozen=True)
class Case:
    claims: Sequence[Obj]
    slices: Sequence[Obj]
    expected: Any  # devices by claim, None, or the text of an error
    used: Sequence[Obj] = ()
    on: NodeInfo = field(default_factory=node)


CASES = {
    "nothing asked": Case([], [], []),
    "one device": Case([claim(ask())], [slice_of(D1)], [["r:p1/d1"]]),
    "no slices": Case([claim(ask())], [], None),
    "slice of another node": Case([claim(ask())], [slice_of(D1, nodeName="n2")], None),
    "another driver": Case([claim(ask())], [slice_of(D1, driver=B)], None),
    "two requests, two drivers": Case(
        [claim(ask("x"), ask("y", klass="b"))],
        [slice_of(D1), slice_of(D1, driver=B, pool="p2", name="s2")],
        [["x:p1/d1", "y:p2/d1"]],
    ),
    "small and large": Case(
        [claim(ask("s", cel=SMALL), ask("b", cel=BIG))], [slice_of(*SMALL_BIG)], [["s:p1/small", "b:p1/big"]]
    ),
    "backtracks between requests": Case(
        [claim(ask("s", cel=SMALL), ask("b", cel=BIG))],
        [slice_of(*reversed(SMALL_BIG))],
        [["s:p1/small", "b:p1/big"]],
    ),
    "backtracks between claims": Case(
        [claim(ask("s", cel=SMALL)), claim(ask("b", cel=BIG), name="c2")],
        [slice_of(*reversed(SMALL_BIG))],
        [["s:p1/small"], ["b:p1/big"]],
    ),
    "backtracks between devices of a request": Case(
        [claim(ask(count=2), constraints=SAME_NUMA)], [slice_of(*NUMA_1_2_2)], [["r:p1/d2", "r:p1/d3"]]
    ),
    "from several pools": Case(
        [claim(ask(count=2))],
        [slice_of(D1), slice_of(D1, name="s2", pool="p2")],
        [["r:p1/d1", "r:p2/d1"]],
    ),
    "from several slices of a pool": Case(
        [claim(ask(count=2))],
        [slice_of(D2, name="s2", of=2), slice_of(D1, of=2)],
        [["r:p1/d1", "r:p1/d2"]],
    ),
    "obsolete generation": Case(
        [claim(ask())], [slice_of(D1), slice_of(D2, name="s2", gen=2)], [["r:p1/d2"]]
    ),
    "newest generation is incomplete": Case(
        [claim(ask())], [slice_of(D1), slice_of(D2, name="s2", gen=2, of=2)], None
    ),
    "newer generation is on another node": Case(
        [claim(ask())], [slice_of(D1), slice_of(D2, name="s2", gen=2, nodeName="n2")], None
    ),
    "complete only with slices of other nodes": Case(
        [claim(ask())], [slice_of(D1, of=2), slice_of(D2, name="s2", of=2, nodeName="n2")], [["r:p1/d1"]]
    ),
    "device named twice": Case([claim(ask())], [slice_of(D1, D1)], "invalid resource pools were encountered"),
    "device named twice, but another pool has one": Case(
        [claim(ask())], [slice_of(D1, D1), slice_of(D1, name="s2", pool="p2")], [["r:p2/d1"]]
    ),
    "taken": Case([claim(ask())], [slice_of(D1)], None, [taken("d1")]),
    "one of two is taken": Case([claim(ask())], [slice_of(D1, D2)], [["r:p1/d2"]], [taken("d1")]),
    "not twice to one pod": Case([claim(ask()), claim(ask(), name="c2")], [slice_of(D1)], None),
    "more than there are": Case([claim(ask(count=3))], [slice_of(D1, D2)], None),
    "more than a claim may have": Case(
        [claim(ask(count=33))], [slice_of(D1)], "number of requested devices 33 exceeds the claim limit of 32"
    ),
    # ---- all devices
    "all": Case([claim(ask(**EVERY))], [slice_of(D1, D2)], [["r:p1/d1", "r:p1/d2"]]),
    "all that match": Case([claim(ask(cel=BIG, **EVERY))], [slice_of(*SMALL_BIG)], [["r:p1/big"]]),
    "all, but there are none": Case([claim(ask(**EVERY))], [slice_of(D1, driver=B)], None),
    "all, but one is taken": Case([claim(ask(**EVERY))], [slice_of(D1, D2)], None, [taken("d2")]),
    "all of an incomplete pool": Case(
        [claim(ask(**EVERY))],
        [slice_of(D1, of=2)],
        f"asks for all devices, but resource pool {A}/p1 is currently being updated",
    ),
    "all of an invalid pool": Case(
        [claim(ask(**EVERY))],
        [slice_of(D1, D1)],
        f"asks for all devices, but resource pool {A}/p1 is currently invalid",
    ),
    "all, more than a claim may have": Case(
        [claim(ask(**EVERY))],
        [slice_of(*(device(f"d{n}") for n in range(33)))],
        "number of requested devices 33 exceeds the claim limit of 32",
    ),
    "all that a constraint forbids": Case(
        [claim(ask(**EVERY), constraints=SAME_NUMA)],
        [slice_of(*NUMA_1_2_2)],
        "cannot add device a.example.com/p1/d2 because a claim constraint would not be satisfied",
    ),
    "all and one more": Case([claim(ask("x", **EVERY), ask("y"))], [slice_of(D1, D2)], None),
    # ---- where
    "any node": Case([claim(ask())], [slice_of(D1, allNodes=True)], [["r:p1/d1"]]),
    "node selector": Case([claim(ask())], [slice_of(D1, **ZONE_A)], [["r:p1/d1"]], on=node(zone="a")),
    "node selector of other nodes": Case([claim(ask())], [slice_of(D1, **ZONE_A)], None, on=node(zone="b")),
    "nodes by device": Case(
        [claim(ask())],
        [slice_of({**D1, "nodeName": "n2"}, {**D2, "nodeName": "n1"}, perDeviceNodeSelection=True)],
        [["r:p1/d2"]],
    ),
    "nodes by device, none here": Case(
        [claim(ask())], [slice_of({**D1, "nodeName": "n2"}, perDeviceNodeSelection=True)], None
    ),
    # ---- alternatives
    "the first alternative": Case(
        [claim(first("r", sub("big", cel=BIG), sub("small", cel=SMALL)))],
        [slice_of(*SMALL_BIG)],
        [["r/big:p1/big"]],
    ),
    "the second alternative": Case(
        [claim(first("r", sub("two", count=2, cel=BIG), sub("one", cel=BIG)))],
        [slice_of(*SMALL_BIG)],
        [["r/one:p1/big"]],
    ),
    "no alternative": Case(
        [claim(first("r", sub("x", klass="b"), sub("y", count=2)))], [slice_of(D1)], None
    ),
    "backtracks to another alternative": Case(
        [claim(first("r", sub("any"), sub("none", klass="b")), ask("s", cel=BIG))],
        [slice_of(*reversed(SMALL_BIG))],
        [["r/any:p1/small", "s:p1/big"]],
    ),
    "an alternative that is too large": Case(
        [claim(first("r", sub("many", count=33), sub("one")))], [slice_of(D1)], [["r/one:p1/d1"]]
    ),
    "all as an alternative, none there": Case(
        [claim(first("r", sub("all", klass="b", **EVERY), sub("one")))], [slice_of(D1)], [["r/one:p1/d1"]]
    ),
    # ---- constraints
    "same attribute over requests": Case(
        [claim(ask("x"), ask("y"), constraints=SAME_NUMA)],
        [slice_of(*NUMA_1_2_2)],
        [["x:p1/d2", "y:p1/d3"]],
    ),
    "same attribute, named requests only": Case(
        [claim(ask("x"), ask("y"), ask("z"), constraints=[{**SAME_NUMA[0], "requests": ["y", "z"]}])],
        [slice_of(*NUMA_1_2_2)],
        [["x:p1/d1", "y:p1/d2", "z:p1/d3"]],
    ),
    "same attribute, subrequest": Case(
        [
            claim(
                first("x", sub("s", klass="b"), sub("t")), ask("y"),
                constraints=[{**SAME_NUMA[0], "requests": ["x/t", "y"]}],
            )
        ],
        [slice_of(*NUMA_1_2_2)],
        [["x/t:p1/d2", "y:p1/d3"]],
    ),
    "attribute that nobody has": Case([claim(ask(), constraints=SAME_NUMA)], [slice_of(D1)], None),
    "attributes of different types": Case(
        [claim(ask(count=2), constraints=SAME_NUMA)],
        [slice_of(device("d1", **attributes(numa=1)), device("d2", **attributes(numa="1")))],
        None,
    ),
    "same version": Case(
        [claim(ask(count=2), constraints=[{"matchAttribute": f"{A}/driverVersion"}])],
        [slice_of(device("d1", **versioned("1.0.0")), device("d2", **versioned("1.0.0")))],
        [["r:p1/d1", "r:p1/d2"]],
    ),
    "attribute of another domain": Case(
        [claim(ask(count=2), constraints=[{"matchAttribute": "std.io/root"}])],
        [slice_of(*(device(n, attributes={"std.io/root": {"string": "x"}}) for n in ("d1", "d2")))],
        [["r:p1/d1", "r:p1/d2"]],
    ),
    "distinct attribute": Case(
        [claim(ask(count=2), constraints=DISTINCT)],
        [slice_of(*reversed(NUMA_1_2_2))],
        [["r:p1/d3", "r:p1/d1"]],
    ),
    "too few distinct": Case([claim(ask(count=3), constraints=DISTINCT)], [slice_of(*NUMA_1_2_2)], None),
    "lists with a value in common": Case(
        [claim(ask(count=2), constraints=SAME_NUMA)],
        [slice_of(numas("d1", 0, 1), numas("d2", 2), numas("d3", 1, 2))],
        [["r:p1/d1", "r:p1/d3"]],
    ),
    "every two have a value in common, all three none": Case(
        [claim(ask(count=3), constraints=SAME_NUMA)],
        [slice_of(numas("d1", 0, 1), numas("d2", 1, 2), numas("d3", 2, 0))],
        None,
    ),
    "a list and a value of it": Case(
        [claim(ask(count=2), constraints=SAME_NUMA)],
        [slice_of(device("d1", **attributes(numa=1)), numas("d2", 0, 2), numas("d3", 0, 1))],
        [["r:p1/d1", "r:p1/d3"]],
    ),
    "what was tried and undone narrows nothing": Case(
        [claim(ask("x"), ask("y"), ask("z"), constraints=SAME_NUMA)],
        [slice_of(numas("d1", 0, 1), numas("d2", 0), numas("d3", 1, 2), numas("d4", 1))],
        [["x:p1/d1", "y:p1/d3", "z:p1/d4"]],
    ),
    "distinct lists share nothing": Case(
        [claim(ask(count=2), constraints=DISTINCT)],
        [slice_of(numas("d1", 0, 1), numas("d2", 1, 2), numas("d3", 2, 3))],
        [["r:p1/d1", "r:p1/d3"]],
    ),
    "a list that includes": Case(
        [claim(ask(cel=f'device.attributes["{A}"].numa.includes(2)'))],
        [slice_of(numas("d1", 0, 1), device("d2", **attributes(numa=1)), numas("d3", 1, 2))],
        [["r:p1/d3"]],
    ),
    "a value that includes": Case(
        [claim(ask(cel=f'device.attributes["{A}"].numa.includes(2)'))],
        [slice_of(device("d1", **attributes(numa=1)), device("d2", **attributes(numa=2)))],
        [["r:p1/d2"]],
    ),
    "unknown constraint": Case(
        [claim(ask(), constraints=[{"requests": ["r"]}])], [slice_of(D1)], "constraint #0: empty constraint"
    ),
    # ---- administrators
    "admin access to what is taken": Case(
        [claim(ask(adminAccess=True))], [slice_of(D1)], [["r:p1/d1"]], [taken("d1")]
    ),
    "admin access, not twice in a claim": Case([claim(ask(count=2, adminAccess=True))], [slice_of(D1)], None),
    "admin access to all": Case(
        [claim(ask(adminAccess=True, **EVERY))], [slice_of(D1, D2)], [["r:p1/d1", "r:p1/d2"]], [taken("d1")]
    ),
    # ---- taints
    "tainted": Case([claim(ask())], [slice_of({**D1, "taints": [NO_SCHEDULE]}, D2)], [["r:p1/d2"]]),
    "tolerated": Case(
        [claim(ask(tolerations=[TOLERATE]))], [slice_of({**D1, "taints": [NO_SCHEDULE]})], [["r:p1/d1"]]
    ),
    "one taint is not tolerated": Case(
        [claim(ask(tolerations=[ONLY_NO_SCHEDULE]))],
        [slice_of({**D1, "taints": [NO_SCHEDULE, NO_EXECUTE]})],
        None,
    ),
    "taint without effect": Case(
        [claim(ask())], [slice_of({**D1, "taints": [{"key": "k", "effect": "None"}]})], [["r:p1/d1"]]
    ),
    "alternative that tolerates": Case(
        [claim(first("r", sub("no"), sub("yes", tolerations=[TOLERATE])))],
        [slice_of({**D1, "taints": [NO_EXECUTE]})],
        [["r/yes:p1/d1"]],
    ),
    # ---- partitions of one device
    "partitions": Case([claim(ask(count=2))], [*PARTS, COUNTER_SLICE], [["r:p1/d1", "r:p1/d3"]]),
    "too many partitions": Case([claim(ask(count=3))], [*PARTS, COUNTER_SLICE], None),
    "partition of what is taken": Case(
        [claim(ask())], [*PARTS, COUNTER_SLICE], [["r:p1/d3"]], [taken("d1")]
    ),
    "partition in use on another node": Case(
        [claim(ask())],
        [
            slice_of(part("d1", "2"), of=3),
            slice_of(part("d2", "2"), of=3, name="s2", nodeName="n2"),
            slice_of(name="counters", of=3, allNodes=True, sharedCounters=[COUNTERS]),
        ],
        None,
        [taken("d2")],
    ),
    "unknown counter set": Case(
        [claim(ask())], [slice_of(part("d1", "1"))], "invalid resource pools were encountered"
    ),
    # ---- shares of one device
    "shared by two requests": Case(
        [claim(slots("4", "x"), slots("4", "y"))], [slice_of(shared())], [["x:p1/d1", "y:p1/d1"]]
    ),
    "shared until it is full": Case([claim(slots("4", "x"), slots("5", "y"))], [slice_of(shared())], None),
    "what others have of it": Case(
        [claim(slots("4"))], [slice_of(shared())], None, [taken("d1", consumed={"slots": "5"})]
    ),
    "whole, when nothing is said": Case([claim(ask("x"), ask("y"))], [slice_of(shared())], None),
    "default, when nothing is said": Case(
        [claim(ask("x"), ask("y"))], [slice_of(shared(policy=POLICY))], [["x:p1/d1", "y:p1/d1"]]
    ),
    "rounded up to a step": Case(
        [claim(slots("3", "x"), slots("3", "y"))], [slice_of(shared(policy=POLICY))], [["x:p1/d1", "y:p1/d1"]]
    ),
    "rounded up, too much": Case(
        [claim(slots("3", "x"), slots("5", "y"))], [slice_of(shared(policy=POLICY))], None
    ),
    "above the maximum": Case([claim(slots("7"))], [slice_of(shared(policy=POLICY))], None),
    "valid values": Case(
        [claim(slots("3"))],
        [slice_of(shared(policy={"default": "1", "validValues": ["1", "4"]}))],
        [["r:p1/d1"]],
    ),
    "above the valid values": Case(
        [claim(slots("5"))], [slice_of(shared(policy={"default": "1", "validValues": ["1", "4"]}))], None
    ),
    "capacity that it has not": Case([claim(slots("1"))], [slice_of(D1)], None),
    "enough capacity, not shared": Case(
        [claim(ask(capacity={"requests": {"memory": "1Gi"}}))], [slice_of(*SMALL_BIG)], [["r:p1/small"]]
    ),
    # ---- expressions
    "attributes": Case(
        [claim(ask(cel=f'device.attributes["{A}"].fast && device.attributes["{A}"].slots > 3'))],
        [slice_of(device("d1", **attributes(fast=False, slots=9)), device("d2", **attributes(fast=True, slots=4)))],
        [["r:p1/d2"]],
    ),
    "versions": Case(
        [claim(ask(cel=f'device.attributes["{A}"].driverVersion.isGreaterThan(semver("1.9.0"))'))],
        [slice_of(device("d1", **versioned("1.2.0")), device("d2", **versioned("1.10.0")))],
        [["r:p1/d2"]],
    ),
    "asks first": Case(
        [claim(ask(cel=f'device.attributes["{A}"].?fast.orValue(false)'))], [slice_of(D1)], None
    ),
    "unknown domain": Case(
        [claim(ask(cel='"x" in device.attributes["other.io"] || device.driver.endsWith(".com")'))],
        [slice_of(D1)],
        [["r:p1/d1"]],
    ),
    "sharable": Case(
        [claim(ask(cel="device.allowMultipleAllocations"))], [slice_of(D2, shared())], [["r:p1/d1"]]
    ),
    "no such attribute": Case(
        [claim(ask(cel=f'device.attributes["{A}"].nope'))],
        [slice_of(D1)],
        f"claim default/c: selector #0 on device {A}/p1/d1: CEL runtime error: no such key: nope",
    ),
    "does not compile": Case([claim(ask(cel="device.nope"))], [slice_of(D1)], "undefined field 'nope'"),
    "not a boolean": Case([claim(ask(cel='"x"'))], [slice_of(D1)], "must evaluate to bool or the unknown type"),
    # ---- mistakes
    "no such class": Case(
        [claim(ask(klass="nope"))], [slice_of(D1)], 'deviceclass.resource.k8s.io "nope" not found'
    ),
    "what has to be made ready comes last": Case(
        [claim(ask(count=2))],
        [slice_of({**D1, "bindingConditions": ["ready"]}), slice_of(D2, name="s2", pool="p2")],
        [["r:p2/d2", "r:p1/d1"]],
    ),
    "no request that is understood": Case(
        [claim({"name": "r"})], [slice_of(D1)], "request r: missing device class name"
    ),
}  # fmt: skip
