"""Scores: the numbers that kube-scheduler computes. The cases follow its table tests; expectations are
worked out there."""

from __future__ import annotations

import pytest

from control_plane.api.selectors import from_set
from control_plane.client.types import Obj
from control_plane.scheduler.plugins.image_locality import normalized
from tests.control_plane.scheduler.build import HOST, ZONE, World, expression, near, node, pod, spread

PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
MB = 1024 * 1024


def bytes_node(name: str, cpu: int, memory: int, **scalars: str) -> Obj:
    return node(name, cpu=f"{cpu}m", memory=str(memory), **scalars)


@pytest.mark.parametrize(
    ("nodes", "existing", "obj", "expected"),
    [
        pytest.param(
            [bytes_node("a", 4000, 10000), bytes_node("b", 4000, 10000)],
            [],
            pod(cpu="0", memory="0"),
            {"a": 100, "b": 100},
            id="nothing asked for, nothing used",
        ),
        pytest.param(
            # a: cpu (4000-3000)*100/4000=25, memory (10000-5000)*100/10000=50 → 37
            # b: cpu (6000-3000)*100/6000=50, memory 50 → 50
            [bytes_node("a", 4000, 10000), bytes_node("b", 6000, 10000)],
            [],
            pod(cpu="3000m", memory="5000"),
            {"a": 37, "b": 50},
            id="different sizes",
        ),
        pytest.param(
            # a: cpu (10000-6000)*100/10000=40, memory (20000-10000)*100/20000=50 → 45
            # b: cpu 40, memory (50000-10000)*100/50000=80 → 60
            [bytes_node("a", 10000, 20000), bytes_node("b", 10000, 50000)],
            [pod(on="a", cpu="3000m", memory="5000"), pod(on="b", cpu="3000m", memory="5000")],
            pod(cpu="3000m", memory="5000"),
            {"a": 45, "b": 60},
            id="with pods on them",
        ),
        pytest.param(
            # cpu over-committed counts 0: (0 + (10000-5000)*100/10000)/2
            [bytes_node("a", 1000, 10000)],
            [],
            pod(cpu="3000m", memory="5000"),
            {"a": 25},
            id="more than there is",
        ),
        pytest.param(
            [bytes_node("a", 0, 0)], [], pod(cpu="1", memory="1"), {"a": 0}, id="a node with nothing"
        ),
    ],
)
def test_least_allocated(nodes: list[Obj], existing: list[Obj], obj: Obj, expected: dict[str, int]) -> None:
    assert World(nodes, existing).scores("NodeResourcesFit", obj) == expected


def test_least_allocated_with_weights() -> None:
    """cpu 25 with weight 1, memory 50 with weight 2: (25 + 100) / 3."""
    resources = [{"name": "cpu", "weight": 1}, {"name": "memory", "weight": 2}]
    args = {"scoringStrategy": {"type": "LeastAllocated", "resources": resources}}
    world = World([bytes_node("a", 4000, 10000)])
    assert world.scores("NodeResourcesFit", pod(cpu="3000m", memory="5000"), args) == {"a": 41}


def test_pods_that_ask_for_nothing_count_with_the_defaults() -> None:
    """100m and 200Mi each: cpu (1000-200)*100/1000 = 80, memory (1000-400)*100/1000 = 60."""
    world = World([bytes_node("a", 1000, 1000 * MB)], [pod(on="a")])
    assert world.scores("NodeResourcesFit", pod()) == {"a": 70}


def test_extended_resources_count_only_for_who_asks() -> None:
    resources = [{"name": "example.com/gpu", "weight": 1}]
    args = {"scoringStrategy": {"type": "LeastAllocated", "resources": resources}}
    world = World([node("a", **{"example.com/gpu": "4"}), node("b")])
    assert world.scores("NodeResourcesFit", pod(requests={"example.com/gpu": "1"}), args) == {"a": 75, "b": 0}
    assert world.scores("NodeResourcesFit", pod(), args) == {"a": 0, "b": 0}


def test_most_allocated() -> None:
    """a: cpu 3000*100/4000=75, memory 50 → 62; b: cpu 50, memory 50 → 50."""
    args = {"scoringStrategy": {"type": "MostAllocated"}}
    world = World([bytes_node("a", 4000, 10000), bytes_node("b", 6000, 10000)])
    assert world.scores("NodeResourcesFit", pod(cpu="3000m", memory="5000"), args) == {"a": 62, "b": 50}


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        pytest.param([(0, 10), (100, 0)], {"a": 38, "b": 50}, id="least requested"),
        pytest.param([(0, 0), (100, 10)], {"a": 63, "b": 50}, id="most requested"),
        pytest.param([(0, 0), (50, 10), (100, 0)], {"a": 75, "b": 100}, id="a peak in the middle"),
        pytest.param([(60, 10)], {"a": 100, "b": 100}, id="one point"),
    ],
)
def test_requested_to_capacity_ratio(shape: list[tuple[int, int]], expected: dict[str, int]) -> None:
    points = [{"utilization": utilization, "score": score} for utilization, score in shape]
    strategy = {"type": "RequestedToCapacityRatio", "requestedToCapacityRatio": {"shape": points}}
    world = World([bytes_node("a", 4000, 10000), bytes_node("b", 6000, 10000)])
    wanted = pod(cpu="3000m", memory="5000")
    assert world.scores("NodeResourcesFit", wanted, {"scoringStrategy": strategy}) == expected


@pytest.mark.parametrize(
    ("nodes", "obj", "expected"),
    [
        pytest.param(
            # cpu 0.75, memory 0.5: 87 after 100 → 50 + (50 - 13) / 2; b: both 0.5, as balanced as before
            [bytes_node("a", 4000, 10000), bytes_node("b", 6000, 10000)],
            pod(cpu="3000m", memory="5000"),
            {"a": 68, "b": 75},
            id="two resources",
        ),
        pytest.param([bytes_node("a", 4000, 10000)], pod(), None, id="best effort is not scored"),
        pytest.param(
            # cpu capped at 1, memory 0.5: 75 after 100
            [bytes_node("a", 1000, 10000)],
            pod(cpu="3000m", memory="5000"),
            {"a": 62},
            id="fractions stop at 1",
        ),
    ],
)
def test_balanced_allocation(nodes: list[Obj], obj: Obj, expected: dict[str, int] | None) -> None:
    assert World(nodes).scores("NodeResourcesBalancedAllocation", obj) == expected


def test_balanced_allocation_of_three() -> None:
    """0.5, 0.5, 0.25: mean 0.41666, deviation 0.11785: 88 after 100."""
    args = {"resources": [{"name": "cpu"}, {"name": "memory"}, {"name": "example.com/gpu"}]}
    world = World([bytes_node("a", 1000, 1000, **{"example.com/gpu": "4"})])
    wanted = pod(cpu="500m", memory="500", requests={"example.com/gpu": "1"})
    assert world.scores("NodeResourcesBalancedAllocation", wanted, args) == {"a": 69}


@pytest.mark.parametrize(
    ("tolerations", "expected"),
    [
        pytest.param([], {"a": 100, "b": 50, "c": 0}, id="fewest soft taints is best"),
        pytest.param([{"operator": "Exists"}], {"a": 100, "b": 100, "c": 100}, id="all tolerated"),
        pytest.param([{"key": "k1", "operator": "Exists"}], {"a": 100, "b": 100, "c": 0}, id="one tolerated"),
    ],
)
def test_taint_score(tolerations: list[Obj], expected: dict[str, int]) -> None:
    nodes = [
        node("a"),
        node("b", taints=["k1=v:PreferNoSchedule"]),
        node("c", taints=["k1=v:PreferNoSchedule", "k2=v:PreferNoSchedule"]),
    ]
    assert World(nodes).scores("TaintToleration", pod(tolerations=tolerations)) == expected


def test_node_affinity_without_preferences_does_not_score() -> None:
    assert World([node("a")]).scores("NodeAffinity", pod()) is None


BAR_OF_FOO, VALUE_OF_KEY = expression("foo", "In", "bar"), expression("key", "In", "value")
LABELS = {
    "1": {"foo": "bar"},
    "2": {"key": "value"},
    "3": {"az": "az1"},
    "4": {"abc": "az11", "def": "az22"},
    "5": {"foo": "bar", "key": "value", "az": "az1"},
}


def all_of(weight: int, *expressions: Obj) -> Obj:
    return {"weight": weight, "preference": {"matchExpressions": list(expressions)}}


TWICE = [all_of(2, BAR_OF_FOO)]
THRICE = [*TWICE, all_of(4, VALUE_OF_KEY), all_of(5, BAR_OF_FOO, VALUE_OF_KEY, expression("az", "In", "az1"))]


@pytest.mark.parametrize(
    ("preferred", "added", "expected"),
    [
        pytest.param(TWICE, [], {"4": 0, "2": 0, "3": 0}, id="nobody"),
        pytest.param(TWICE, [], {"1": 100, "2": 0, "3": 0}, id="one"),
        pytest.param(THRICE, [], {"1": 18, "5": 100, "2": 36}, id="everybody a little"),
        pytest.param([], TWICE, {"1": 100, "2": 0}, id="the profile's"),
        pytest.param(TWICE, [all_of(3, VALUE_OF_KEY)], {"1": 40, "2": 60, "5": 100}, id="the profile's too"),
    ],
)
def test_preferred_nodes(preferred: list[Obj], added: list[Obj], expected: dict[str, int]) -> None:
    args = {"addedAffinity": {PREFERRED: added}} if added else {}
    obj = pod(affinity={"nodeAffinity": {PREFERRED: preferred}})
    world = World([node(name, labels=LABELS[name]) for name in expected])
    assert world.scores("NodeAffinity", obj, args) == expected


FOO, BAR = "intel.com/foo", "intel.com/bar"


@pytest.mark.parametrize(
    ("wanted", "used", "expected"),
    [
        pytest.param({}, {}, {"1": 0, "2": 0}, id="nothing"),
        pytest.param({FOO: "2"}, {}, {"1": 2, "2": 5}, id="less"),
        pytest.param({FOO: "2"}, {FOO: "2"}, {"1": 2, "2": 10}, id="with a pod there"),
        pytest.param({FOO: "4"}, {}, {"1": 5, "2": 10}, id="more"),
    ],
)
def test_packing_one_resource(wanted: dict[str, str], used: dict[str, str], expected: dict[str, int]) -> None:
    args = packing([{"name": FOO, "weight": 1}])
    nodes = [node("1", **{FOO: "8"}), node("2", **{FOO: "4"})]
    world = World(nodes, [pod(on="2", requests=used)])
    assert world.scores("NodeResourcesFit", pod(requests=wanted), args) == expected


def packing(resources: list[Obj]) -> Obj:
    shape = [{"utilization": 0, "score": 0}, {"utilization": 100, "score": 1}]
    ratio = {"requestedToCapacityRatio": {"shape": shape}}
    return {"scoringStrategy": {"type": "RequestedToCapacityRatio", "resources": resources, **ratio}}


def test_packing_two_resources() -> None:
    """(2 * 3 + 5 * 5) / 8 and (5 * 3 + 2 * 5) / 8, rounded."""
    args = packing([{"name": FOO, "weight": 3}, {"name": BAR, "weight": 5}])
    world = World([node("1", **{FOO: "8", BAR: "4"}), node("2", **{FOO: "4", BAR: "8"})])
    assert world.scores("NodeResourcesFit", pod(requests={FOO: "2", BAR: "2"}), args) == {"1": 4, "2": 3}


@pytest.mark.parametrize(
    ("images", "nodes", "expected"),
    [
        pytest.param(["40", "250"], "12", [0, 5], id="the larger image"),
        pytest.param(["40", "300"], "12", [7, 0], id="both images"),
        pytest.param(["10", "4000"], "12", [100, 0], id="more than the ceiling"),
        pytest.param(["10", "4000"], "123", [66, 0, 0], id="a node without images"),
    ],
)
def test_images_in_megabytes(images: list[str], nodes: str, expected: list[int]) -> None:
    held = {"1": [40, 300, 4000], "2": [250, 10], "3": []}
    built = [node(name, images={f"{size}:latest": size * MB for size in held[name]}) for name in nodes]
    scores = World(built).scores("ImageLocality", pod(images=images))
    assert scores is not None
    assert list(scores.values()) == expected


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        # 40 MB on one of two nodes: 20 MB, under the threshold. 300 MB: 150, 140 → see priority()
        pytest.param(["small"], {"a": 0, "b": 0}, id="too small to matter"),
        pytest.param(["large"], {"a": 0, "b": 12}, id="300 MB on one node of two: (150-23)/(1000-23)"),
        pytest.param(["huge"], {"a": 100, "b": 0}, id="bigger than the ceiling"),
        pytest.param(["both"], {"a": 28, "b": 28}, id="on all nodes: (300-23)/(1000-23)"),
        pytest.param(["large", "both"], {"a": 14, "b": 21}, id="two containers share a ceiling of 2000"),
    ],
)
def test_image_locality(images: list[str], expected: dict[str, int]) -> None:
    nodes = [
        node("a", images={"small:latest": 40 * MB, "huge:latest": 4000 * MB, "both:latest": 300 * MB}),
        node("b", images={"large:latest": 300 * MB, "both:latest": 300 * MB}),
    ]
    assert World(nodes).scores("ImageLocality", pod(images=images)) == expected


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("a", "a:latest"),
        ("a:1", "a:1"),
        ("host:5000/a", "host:5000/a:latest"),
        ("host:5000/a:1", "host:5000/a:1"),
    ],
)
def test_image_names(image: str, full: str) -> None:
    assert normalized(image) == full


# ---- inter-pod affinity


def prefers_pods(weight: int, term: Obj, anti: bool = False) -> Obj:
    return {
        "podAntiAffinity" if anti else "podAffinity": {
            PREFERRED: [{"weight": weight, "podAffinityTerm": term}]
        }
    }


ZONED = [node("a", labels={ZONE: "1"}), node("b", labels={ZONE: "2"}), node("c")]
DB = {"app": "db"}


@pytest.mark.parametrize(
    ("existing", "affinity", "expected"),
    [
        pytest.param([pod(on="a", labels=DB)], None, None, id="no preferences at all"),
        pytest.param(
            [pod(on="a", labels=DB)],
            prefers_pods(5, near(ZONE, DB)),
            {"a": 100, "b": 0, "c": 0},
            id="near",
        ),
        pytest.param(
            [pod(on="a", labels=DB)],
            prefers_pods(5, near(ZONE, DB), anti=True),
            {"a": 0, "b": 100, "c": 100},
            id="far",
        ),
        pytest.param(
            [pod(on="a", labels=DB), pod(on="b", labels=DB), pod(on="b", labels=DB)],
            prefers_pods(5, near(ZONE, DB)),
            {"a": 50, "b": 100, "c": 0},
            id="more of them",
        ),
        pytest.param(
            [pod(on="a", affinity=prefers_pods(3, near(ZONE, {"app": "web"})))],
            None,
            {"a": 100, "b": 0, "c": 0},
            id="existing pods would like it near",
        ),
        pytest.param(
            [
                pod(
                    on="b",
                    affinity={
                        "podAffinity": {
                            "requiredDuringSchedulingIgnoredDuringExecution": [near(ZONE, {"app": "web"})]
                        }
                    },
                )
            ],
            None,
            {"a": 0, "b": 100, "c": 0},
            id="existing pods need it near",
        ),
    ],
)
def test_inter_pod_affinity_score(
    existing: list[Obj], affinity: Obj | None, expected: dict[str, int] | None
) -> None:
    wanted = pod(labels={"app": "web"}, affinity=affinity)
    assert World(ZONED, existing).scores("InterPodAffinity", wanted) == expected


# ---- topology spread

APP = {"app": "x"}


def many(**counts: int) -> list[Obj]:
    return [pod(on=name, labels=APP) for name, count in counts.items() for _ in range(count)]


@pytest.mark.parametrize(
    ("existing", "constraints", "expected"),
    [
        pytest.param([], [spread(HOST, 1, APP, soft=True)], {"a": 100, "b": 100, "c": 100}, id="empty"),
        pytest.param(
            # raw = count × ln(3 + 2): 2 → 3, 1 → 2, 0 → 0
            many(a=2, b=1),
            [spread(HOST, 1, APP, soft=True)],
            {"a": 0, "b": 33, "c": 100},
            id="by host",
        ),
        pytest.param(
            many(a=3), [spread(HOST, 1, {"app": "y"}, soft=True)], dict.fromkeys("abc", 100), id="others"
        ),
        pytest.param(many(a=3), [spread(HOST, 1, APP)], None, id="hard ones do not score"),
        pytest.param(
            # c lacks the zone label: ignored
            many(a=2, b=1),
            [spread(ZONE, 1, APP, soft=True)],
            {"a": 33, "b": 100, "c": 0},
            id="nodes without the label get nothing",
        ),
    ],
)
def test_topology_spread_score(
    existing: list[Obj], constraints: list[Obj], expected: dict[str, int] | None
) -> None:
    wanted = pod(labels=APP, topologySpreadConstraints=constraints)
    assert World(ZONED, existing).scores("PodTopologySpread", wanted) == expected


def test_default_spreading_follows_the_owner() -> None:
    """System defaults: hosts with skew 3, zones with skew 5, soft; nodes without a zone take part."""
    world = World(ZONED, many(a=4))
    assert world.scores("PodTopologySpread", pod(labels=APP)) is None
    world.workloads.selector = from_set(APP)
    scores = world.scores("PodTopologySpread", pod(labels=APP))
    assert scores is not None
    assert scores["a"] < scores["b"] <= scores["c"]
