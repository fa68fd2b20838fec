"""Filters: which node takes which pod, and what is said where not. The cases follow kube-scheduler's table
tests."""

from __future__ import annotations

import pytest

from control_plane.client.types import Obj
from control_plane.scheduler.framework.pod_info import pod_info
from tests.control_plane.scheduler.build import (
    HOST,
    ZONE,
    World,
    expression,
    near,
    node,
    node_terms,
    pod,
    spread,
    taint,
)

TAINTED = "node(s) had untolerated taint(s)"
NOT_AFFINE = "node(s) didn't match Pod's node affinity/selector"


def tolerate(**fields: str) -> Obj:
    return pod(tolerations=[fields])


@pytest.mark.parametrize(
    ("obj", "said"),
    [
        pytest.param(pod(), TAINTED, id="no toleration"),
        pytest.param(tolerate(key="k", operator="Equal", value="v", effect="NoSchedule"), "", id="equal"),
        pytest.param(tolerate(key="k", value="v", effect="NoSchedule"), "", id="no operator is equal"),
        pytest.param(tolerate(key="k", operator="Equal", value="w"), TAINTED, id="other value"),
        pytest.param(tolerate(key="k", operator="Exists"), "", id="exists, any effect"),
        pytest.param(tolerate(key="k", operator="Exists", effect="NoExecute"), TAINTED, id="other effect"),
        pytest.param(tolerate(operator="Exists"), "", id="everything"),
    ],
)
def test_taint_toleration(obj: Obj, said: str) -> None:
    world = World([node("n", taints=["soft=x:PreferNoSchedule", "k=v:NoSchedule", "z=z:NoExecute"])])
    if not said:
        world = World([node("n", taints=["k=v:NoSchedule"])])
    assert world.feasible("TaintToleration", obj) == {"n": said}


@pytest.mark.parametrize(
    ("tolerations", "said"),
    [
        pytest.param([], "node(s) were unschedulable", id="cordoned"),
        pytest.param([{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}], "", id="tolerated"),
    ],
)
def test_node_unschedulable(tolerations: list[Obj], said: str) -> None:
    world = World([node("n", unschedulable=True)])
    assert world.feasible("NodeUnschedulable", pod(tolerations=tolerations)) == {"n": said}


def test_node_name() -> None:
    world = World([node("a"), node("b")])
    assert world.feasible("NodeName", pod(on="a")) == {
        "a": "",
        "b": "node(s) didn't match the requested node name",
    }


@pytest.mark.parametrize(
    ("spec", "fits"),
    [
        pytest.param({"nodeSelector": {"zone": "z1"}}, True, id="selector"),
        pytest.param({"nodeSelector": {"zone": "z1", "x": "y"}}, False, id="selector, one missing"),
        pytest.param({"affinity": node_terms(expression("zone", "In", "z1", "z2"))}, True, id="In"),
        pytest.param({"affinity": node_terms(expression("zone", "NotIn", "z1"))}, False, id="NotIn"),
        pytest.param({"affinity": node_terms(expression("none", "NotIn", "z1"))}, True, id="NotIn, no label"),
        pytest.param({"affinity": node_terms(expression("zone", "Exists"))}, True, id="Exists"),
        pytest.param({"affinity": node_terms(expression("zone", "DoesNotExist"))}, False, id="DoesNotExist"),
        pytest.param({"affinity": node_terms(expression("size", "Gt", "3"))}, True, id="Gt"),
        pytest.param({"affinity": node_terms(expression("size", "Lt", "3"))}, False, id="Lt"),
        pytest.param({"affinity": node_terms(expression("zone", "Gt", "3"))}, False, id="Gt of a word"),
        pytest.param({"affinity": node_terms()}, False, id="an empty term matches nothing"),
        pytest.param(
            {"affinity": node_terms(fields=[expression("metadata.name", "In", "n")])}, True, id="field"
        ),
        pytest.param(
            {"affinity": node_terms(fields=[expression("metadata.name", "NotIn", "n")])},
            False,
            id="not field",
        ),
        pytest.param(
            {"nodeSelector": {"zone": "z1"}, "affinity": node_terms(expression("size", "In", "9"))},
            False,
            id="selector and affinity must both hold",
        ),
    ],
)
def test_node_affinity(spec: Obj, fits: bool) -> None:
    world = World([node("n", labels={"zone": "z1", "size": "4"})])
    assert world.feasible("NodeAffinity", pod(**spec)) == {"n": "" if fits else NOT_AFFINE}


def test_added_affinity_of_the_profile() -> None:
    world = World([node("a", labels={"pool": "x"}), node("b")])
    args = {"addedAffinity": node_terms(expression("pool", "In", "x"))["nodeAffinity"]}
    assert world.feasible("NodeAffinity", pod(), args) == {
        "a": "",
        "b": "node(s) didn't match scheduler-enforced node affinity",
    }


NO_PORTS = "node(s) didn't have free ports for the requested pod ports"


def with_port(port: int, address: str = "", protocol: str = "TCP", on: str = "") -> Obj:
    made = pod(on=on)
    made["spec"]["containers"][0]["ports"] = [{"hostPort": port, "hostIP": address, "protocol": protocol}]
    return made


@pytest.mark.parametrize(
    ("wanted", "held", "said"),
    [
        pytest.param(with_port(80), with_port(8080, on="n"), "", id="another port"),
        pytest.param(with_port(80), with_port(80, on="n"), NO_PORTS, id="the same"),
        pytest.param(with_port(80), with_port(80, protocol="UDP", on="n"), "", id="another protocol"),
        pytest.param(with_port(80, "127.0.0.1"), with_port(80, "127.0.0.2", on="n"), "", id="addresses"),
        pytest.param(with_port(80, "127.0.0.1"), with_port(80, on="n"), NO_PORTS, id="wildcard is held"),
        pytest.param(with_port(80, "0.0.0.0"), with_port(80, "127.0.0.1", on="n"), NO_PORTS, id="wanted"),
    ],
)
def test_node_ports(wanted: Obj, held: Obj, said: str) -> None:
    assert World([node("n")], [held]).feasible("NodePorts", wanted) == {"n": said}


@pytest.mark.parametrize(
    ("obj", "said"),
    [
        pytest.param(pod(), "", id="asks for nothing"),
        pytest.param(pod(cpu="1", memory="1Gi"), "", id="fits exactly"),
        pytest.param(pod(cpu="1001m"), "Insufficient cpu", id="cpu"),
        pytest.param(pod(memory="1025Mi"), "Insufficient memory", id="memory"),
        pytest.param(pod(cpu="2", memory="2Gi"), "Insufficient cpu, Insufficient memory", id="both"),
        pytest.param(pod(requests={"ephemeral-storage": "1Gi"}), "Insufficient ephemeral-storage", id="disk"),
        pytest.param(pod(requests={"example.com/gpu": "1"}), "", id="extended"),
        pytest.param(pod(requests={"example.com/gpu": "2"}), "Insufficient example.com/gpu", id="too many"),
        pytest.param(pod(requests={"example.com/no": "1"}), "Insufficient example.com/no", id="unknown"),
        pytest.param(pod(requests={"example.com/no": "0"}), "", id="none of it"),
        pytest.param(pod(cpu="500m", overhead={"cpu": "600m"}), "Insufficient cpu", id="overhead counts"),
        pytest.param(
            pod(initContainers=[{"name": "i", "resources": {"requests": {"cpu": "2"}}}]),
            "Insufficient cpu",
            id="the largest init container counts",
        ),
        pytest.param(
            pod(
                cpu="600m",
                initContainers=[
                    {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "600m"}}}
                ],
            ),
            "Insufficient cpu",
            id="sidecars run beside the containers",
        ),
        pytest.param(pod(cpu="9", resources={"requests": {"cpu": "1"}}), "", id="pod level wins"),
    ],
)
def test_node_resources_fit(obj: Obj, said: str) -> None:
    full = node("n", cpu="4", memory="4Gi", **{"example.com/gpu": "1"})
    world = World([full], [pod(on="n", cpu="3", memory="3Gi")])
    assert world.feasible("NodeResourcesFit", obj) == {"n": said}


def test_too_many_pods() -> None:
    world = World([node("n", pods=1)], [pod(on="n")])
    assert world.feasible("NodeResourcesFit", pod()) == {"n": "Too many pods"}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        pytest.param({"ignoredResources": ["example.com/a"]}, "Insufficient other.com/b", id="by name"),
        pytest.param({"ignoredResourceGroups": ["other.com"]}, "Insufficient example.com/a", id="by group"),
    ],
)
def test_ignored_resources(args: Obj, said: str) -> None:
    wanted = pod(requests={"example.com/a": "1", "other.com/b": "1"})
    assert World([node("n")]).feasible("NodeResourcesFit", wanted, args) == {"n": said}


# ---- inter-pod affinity

AFFINITY = "node(s) didn't match pod affinity rules"
ANTI_AFFINITY = "node(s) didn't match pod anti-affinity rules"
EXISTING = "node(s) didn't satisfy existing pods anti-affinity rules"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def wants(*terms: Obj, anti: bool = False, **more: object) -> Obj:
    return pod(affinity={"podAntiAffinity" if anti else "podAffinity": {REQUIRED: list(terms)}}, **more)  # type: ignore[arg-type]


ZONED = [
    node("a", labels={ZONE: "1"}),
    node("b", labels={ZONE: "1"}),
    node("c", labels={ZONE: "2"}),
    node("d"),
]


@pytest.mark.parametrize(
    ("existing", "obj", "said"),
    [
        pytest.param(
            [pod(on="a", labels={"app": "db"})],
            wants(near(ZONE, {"app": "db"})),
            {"a": "", "b": "", "c": AFFINITY, "d": AFFINITY},
            id="near: the same zone",
        ),
        pytest.param(
            [pod(on="a", labels={"app": "db"}, namespace="other")],
            wants(near(ZONE, {"app": "db"})),
            dict.fromkeys("abcd", AFFINITY),
            id="near: another namespace does not count",
        ),
        pytest.param(
            [pod(on="a", labels={"app": "db"}, namespace="other")],
            wants(near(ZONE, {"app": "db"}, namespaces=["other"])),
            {"a": "", "b": "", "c": AFFINITY, "d": AFFINITY},
            id="near: named namespace",
        ),
        pytest.param(
            [pod(on="a", labels={"app": "db"}, namespace="other")],
            wants(near(ZONE, {"app": "db"}, namespaceSelector={"matchLabels": {"team": "x"}})),
            {"a": "", "b": "", "c": AFFINITY, "d": AFFINITY},
            id="near: selected namespace",
        ),
        pytest.param(
            [],
            wants(near(ZONE, {"app": "me"}), labels={"app": "me"}),
            {"a": "", "b": "", "c": "", "d": AFFINITY},
            id="near: the first of its group goes anywhere that has the label",
        ),
        pytest.param(
            [pod(on="a", labels={"app": "db"}), pod(on="c", labels={"app": "web"})],
            wants(near(ZONE, {"app": "db"}), near(ZONE, {"app": "web"})),
            dict.fromkeys("abcd", AFFINITY),
            id="near: one pod must match all terms",
        ),
        pytest.param(
            [pod(on="a", labels={"app": "db"})],
            wants(near(ZONE, {"app": "db"}), anti=True),
            {"a": ANTI_AFFINITY, "b": ANTI_AFFINITY, "c": "", "d": ""},
            id="far: not its zone",
        ),
        pytest.param(
            [pod(on="a", labels={"app": "db"})],
            wants(near(HOST, {"app": "db"}), anti=True),
            {"a": ANTI_AFFINITY, "b": "", "c": "", "d": ""},
            id="far: not its host",
        ),
        pytest.param(
            [pod(on="a", affinity={"podAntiAffinity": {REQUIRED: [near(ZONE, {"app": "web"})]}})],
            pod(labels={"app": "web"}),
            {"a": EXISTING, "b": EXISTING, "c": "", "d": ""},
            id="existing pods keep it away",
        ),
    ],
)
def test_inter_pod_affinity(existing: list[Obj], obj: Obj, said: dict[str, str]) -> None:
    world = World(ZONED, existing)
    world.namespaces["other"] = {"team": "x"}
    assert world.feasible("InterPodAffinity", obj) == said


# ---- topology spread

SKEWED = "node(s) didn't match pod topology spread constraints"
NO_LABEL = "node(s) didn't match pod topology spread constraints (missing required label)"
APP = {"app": "x"}


def web(on: str, **more: object) -> Obj:
    return pod(on=on, labels=APP, **more)  # type: ignore[arg-type]


FOUR = [
    node("a", labels={ZONE: "1"}),
    node("b", labels={ZONE: "1"}),
    node("x", labels={ZONE: "2"}),
    node("y", labels={ZONE: "2"}),
]


@pytest.mark.parametrize(
    ("existing", "obj", "fit"),
    [
        pytest.param([], [spread(ZONE, 1, APP)], "abxy", id="none yet"),
        pytest.param([web("a")], [spread(ZONE, 1, APP)], "xy", id="zone 1 is ahead"),
        pytest.param([web("a"), web("x")], [spread(ZONE, 1, APP)], "abxy", id="even"),
        pytest.param([web("a"), web("b"), web("x")], [spread(ZONE, 2, APP)], "abxy", id="skew of 2"),
        pytest.param([web("a")], [spread(HOST, 1, APP)], "bxy", id="by host"),
        pytest.param([web("a"), web("x")], [spread(ZONE, 1, APP), spread(HOST, 1, APP)], "by", id="both"),
        pytest.param([web("a", namespace="other")], [spread(ZONE, 1, APP)], "abxy", id="other namespace"),
        pytest.param(
            [web("a", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})],
            [spread(ZONE, 1, APP)],
            "abxy",
            id="pods on their way out do not count",
        ),
        pytest.param([web("a"), web("x")], [spread(ZONE, 1, APP, minDomains=3)], "", id="too few domains"),
        pytest.param([], [spread("none", 1, APP)], "", id="no node has the label"),
        pytest.param([web("a")], [spread(ZONE, 1, {"app": "other"})], "abxy", id="others do not match"),
        pytest.param(
            [web("a", metadata={"labels": {"app": "x", "rev": "1"}})],
            [spread(ZONE, 1, APP, matchLabelKeys=["rev"])],
            "abxy",
            id="matchLabelKeys: another revision",
        ),
    ],
)
def test_topology_spread(existing: list[Obj], obj: list[Obj], fit: str) -> None:
    wanted = pod(labels={**APP, "rev": "2"}, topologySpreadConstraints=obj)
    said = World(FOUR, existing).feasible("PodTopologySpread", wanted)
    assert "".join(name for name, reason in sorted(said.items()) if not reason) == fit
    assert set(said.values()) <= {"", NO_LABEL if obj[0]["topologyKey"] == "none" else SKEWED}


@pytest.mark.parametrize(
    ("policies", "fit"),
    [
        pytest.param({}, "", id="affinity honored, taints not: empty tainted zone 3 is the minimum"),
        pytest.param({"nodeTaintsPolicy": "Honor"}, "abxy", id="taints honored: zone 3 does not count"),
    ],
)
def test_node_inclusion_policies(policies: Obj, fit: str) -> None:
    nodes = [*FOUR, node("z", labels={ZONE: "3"}, taints=["k=v:NoSchedule"])]
    wanted = pod(labels=APP, topologySpreadConstraints=[spread(ZONE, 1, APP, **policies)])
    world = World(nodes, [web("a"), web("x")])
    assert "".join(name for name in "abxy" if not world.feasible("PodTopologySpread", wanted)[name]) == fit


def test_spread_counts_only_nodes_the_pod_may_use() -> None:
    """nodeAffinityPolicy Honor: zone 2 is out of reach, so zone 1 alone sets the minimum."""
    constraint = spread(ZONE, 1, APP)
    wanted = pod(labels=APP, topologySpreadConstraints=[constraint], nodeSelector={ZONE: "1"})
    assert World(FOUR, [web("a")]).feasible("PodTopologySpread", wanted)["b"] == ""


def test_scheduling_gates() -> None:
    gated = World().profile.run_pre_enqueue
    status = gated(pod_info(pod(schedulingGates=[{"name": "a"}, {"name": "b"}])))
    assert status is not None
    assert status.message == "waiting for scheduling gates: [a b]"
    assert gated(pod_info(pod())) is None


def test_taint_builder() -> None:
    assert taint("k:NoSchedule") == {"key": "k", "value": "", "effect": "NoSchedule"}
