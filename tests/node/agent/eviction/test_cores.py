"""The pure parts of eviction: thresholds, what is met and for how long, who goes first, what it is told."""

from __future__ import annotations

from typing import Any

import pytest

from node.agent.errors import Rejected
from node.agent.eviction import ranking
from node.agent.eviction.pressure import Observation, Pressure, Verdict, is_met
from node.agent.eviction.ranking import ContainerUse, PodUse
from node.agent.eviction.thresholds import Amount, Threshold, hard_amount, parse_thresholds
from tests.node.agent.conftest import make_pod

Obj = dict[str, Any]
MIB = 2**20


# ---- thresholds


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        pytest.param({"hard": ""}, (), id="none"),
        pytest.param(
            {"hard": "memory.available<100Mi"},
            (Threshold("memory.available", Amount(100 * MIB)),),
            id="quantity",
        ),
        pytest.param(
            {"hard": "nodefs.available<10%"},
            (Threshold("nodefs.available", Amount(fraction=0.1)),),
            id="percentage",
        ),
        pytest.param({"hard": "nodefs.available<0%,pid.available<100%"}, (), id="switched-off"),
        pytest.param(
            {
                "hard": "",
                "soft": "memory.available<300Mi",
                "soft_grace": "memory.available=1m30s",
                "min_reclaim": "memory.available=50Mi",
            },
            (Threshold("memory.available", Amount(300 * MIB), 90.0, Amount(50 * MIB)),),
            id="soft",
        ),
    ],
)
def test_thresholds(flags: dict[str, str], expected: tuple[Threshold, ...]) -> None:
    assert parse_thresholds(**flags) == expected


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        ({"hard": "memory.available=1"}, "is not SIGNAL<VALUE"),
        ({"hard": "memory.free<1"}, "unsupported eviction signal memory.free"),
        ({"hard": "memory.available<lots"}, "quantities must match"),
        ({"hard": "memory.available<-1"}, "must be positive"),
        ({"hard": "memory.available<101%"}, "between 0% and 100%"),
        ({"hard": "memory.available<1,memory.available<2"}, "is given twice"),
        ({"hard": "", "soft": "memory.available<1"}, "grace period must be specified"),
    ],
)
def test_thresholds_that_are_refused(flags: dict[str, str], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        parse_thresholds(**flags)


def test_what_is_kept_free() -> None:
    thresholds = parse_thresholds("nodefs.available<10%", "nodefs.available<20%", "nodefs.available=1m")
    assert hard_amount(thresholds, "nodefs.available", 1000) == 100
    assert hard_amount(thresholds, "memory.available", 1000) == 0


# ---- pressure


@pytest.mark.parametrize(
    ("available", "with_reclaim", "met"),
    [(99, False, True), (100, False, False), (120, True, True), (150, True, False)],
)
def test_what_is_met(available: int, with_reclaim: bool, met: bool) -> None:
    threshold = Threshold("memory.available", Amount(100), min_reclaim=Amount(50))
    seen = {"memory.available": Observation(available, 1000)}
    assert is_met(threshold, seen, with_reclaim) is met
    assert not is_met(threshold, {}, with_reclaim)


class Course:
    """One node over time, with its free memory."""

    def __init__(self, hard: str, transition_s: float = 10.0, **more: str) -> None:
        self.pressure = Pressure(parse_thresholds(hard, **more), transition_s)

    def at(self, now_s: float, memory: int, disk: int = 10**9) -> Verdict:
        seen = {
            "memory.available": Observation(memory, 10**9),
            "nodefs.available": Observation(disk, 10**9),
        }
        return self.pressure.observe(seen, now_s)


def short_of(verdict: Verdict) -> list[str]:
    return [each.signal for each in verdict.to_reclaim]


def test_a_condition_outlives_its_cause_by_the_transition_period() -> None:
    node = Course("memory.available<100")
    assert node.at(0, 200) == Verdict()
    assert node.at(1, 50).conditions == {"MemoryPressure"}
    assert node.at(5, 200) == Verdict(frozenset({"MemoryPressure"}))
    assert node.at(10.9, 200).conditions == {"MemoryPressure"}
    assert node.at(11, 200) == Verdict()


def test_without_a_transition_period_it_follows_at_once() -> None:
    node = Course("memory.available<100", transition_s=0)
    assert node.at(1, 50).conditions == {"MemoryPressure"}
    assert node.at(2, 200) == Verdict()


def test_a_soft_threshold_has_patience() -> None:
    node = Course("", soft="memory.available<100", soft_grace="memory.available=30s")
    assert (short_of(node.at(0, 50)), node.at(0, 50).conditions) == ([], {"MemoryPressure"})
    assert short_of(node.at(29, 50)) == []
    assert short_of(node.at(30, 50)) == ["memory.available"]


def test_a_soft_threshold_starts_over() -> None:
    node = Course("", soft="memory.available<100", soft_grace="memory.available=30s")
    node.at(0, 50)
    node.at(20, 150)
    node.at(25, 50)
    assert short_of(node.at(40, 50)) == []
    assert short_of(node.at(55, 50)) == ["memory.available"]


def test_once_it_acts_it_goes_on_until_the_minimum_is_reclaimed() -> None:
    node = Course("memory.available<100", min_reclaim="memory.available=50")
    assert short_of(node.at(0, 120)) == []
    assert short_of(node.at(1, 90)) == ["memory.available"]
    assert short_of(node.at(2, 120)) == ["memory.available"]
    assert short_of(node.at(3, 150)) == []
    assert short_of(node.at(4, 120)) == []


def test_memory_comes_first() -> None:
    node = Course("nodefs.available<100,memory.available<100")
    assert short_of(node.at(0, 50, 50)) == ["memory.available", "nodefs.available"]
    assert node.at(0, 50, 50).conditions == {"MemoryPressure", "DiskPressure"}


# ---- ranking


def pod(name: str, request: str = "", priority: int = 0, **spec: Any) -> Obj:
    resources = {"requests": {"memory": request, "ephemeral-storage": request}} if request else {}
    return make_pod(name, containers=[{"name": "main", "resources": resources}], priority=priority, **spec)


def use(name: str, mib: int, request: str = "", priority: int = 0, processes: int = 1) -> PodUse:
    container = ContainerUse(memory_bytes=mib * MIB, log_bytes=mib * MIB, processes=processes)
    return PodUse(pod(name, request, priority), {"main": container})


@pytest.mark.parametrize(
    ("uses", "expected"),
    [
        pytest.param([use("small", 10), use("large", 20)], ["large", "small"], id="by-use"),
        pytest.param(
            [use("within", 50, request="100Mi"), use("beyond", 20, request="10Mi")],
            ["beyond", "within"],
            id="those-beyond-their-request-first",
        ),
        pytest.param(
            [use("much", 500, request="400Mi"), use("best-effort", 200)],
            ["best-effort", "much"],
            id="by-excess",
        ),
        pytest.param(
            [use("important", 500, priority=10), use("other", 10)], ["other", "important"], id="by-priority"
        ),
        pytest.param(
            [use("important", 500, priority=10), use("within", 10, request="1Gi")],
            ["important", "within"],
            id="excess-before-priority",
        ),
    ],
)
@pytest.mark.parametrize("resource", ["memory", "ephemeral-storage"])
def test_ranks(uses: list[PodUse], expected: list[str], resource: str) -> None:
    assert [each.pod["metadata"]["name"] for each in ranking.rank(uses, resource)] == expected


def test_rank_by_processes() -> None:
    uses = [
        use("important", 1, priority=5, processes=900),
        use("few", 1, processes=2),
        use("many", 1, processes=50),
    ]
    assert [each.pod["metadata"]["name"] for each in ranking.rank(uses, "pids")] == [
        "many",
        "few",
        "important",
    ]


@pytest.mark.parametrize(
    ("resource", "threshold", "seen", "expected"),
    [
        pytest.param(
            "memory",
            Threshold("memory.available", Amount(100 * MIB)),
            Observation(50 * MIB, 1000 * MIB),
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. Container main was "
            "using 200Mi, request is 10Mi, has larger consumption of memory. ",
            id="memory",
        ),
        pytest.param(
            "pids",
            Threshold("pid.available", Amount(fraction=0.1)),
            Observation(7, 1000),
            "The node was low on resource: pids. Threshold quantity: 100, available: 7. ",
            id="pids",
        ),
        pytest.param(
            "ephemeral-storage",
            Threshold("nodefs.available", Amount(fraction=0.1)),
            Observation(5 * MIB, 100 * MIB),
            "The node was low on resource: ephemeral-storage. Threshold quantity: 10Mi, available: 5Mi. Container "
            "main was using 200Mi, request is 10Mi, has larger consumption of ephemeral-storage. ",
            id="disk",
        ),
    ],
)
def test_messages(resource: str, threshold: Threshold, seen: Observation, expected: str) -> None:
    text = ranking.message(use("web", 200, request="10Mi"), threshold, {threshold.signal: seen})
    assert text == expected


# ---- limits of a pod's own


def limited(size_limit: str = "", *storage: str) -> Obj:
    containers = [
        {"name": f"c{number}", "resources": {"limits": {"ephemeral-storage": limit}}}
        for number, limit in enumerate(storage)
    ]
    volumes = [{"name": "cache", "emptyDir": {"sizeLimit": size_limit} if size_limit else {}}]
    return make_pod("web", containers=containers or ["main"], volumes=volumes)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        pytest.param(PodUse(limited("1Mi"), volumes={"cache": MIB}), None, id="volume-within"),
        pytest.param(
            PodUse(limited("1Mi"), volumes={"cache": MIB + 1}),
            'Usage of EmptyDir volume "cache" exceeds the limit "1Mi". ',
            id="volume",
        ),
        pytest.param(PodUse(limited("0"), volumes={"cache": MIB}), None, id="no-limit"),
        pytest.param(
            PodUse(limited("", "2Mi", "1Mi"), {"c0": ContainerUse(rootfs_bytes=2 * MIB)}, {"cache": 2 * MIB}),
            "Pod ephemeral local storage usage exceeds the total limit of containers 3Mi. ",
            id="pod",
        ),
        pytest.param(
            PodUse(limited("", "2Mi", "1Mi"), {"c1": ContainerUse(log_bytes=MIB, rootfs_bytes=1)}),
            'Container c1 exceeded its local ephemeral storage limit "1Mi". ',
            id="container",
        ),
        pytest.param(
            PodUse(limited("", "1Mi"), {}, {"cache": 2 * MIB}, memory_volumes=frozenset({"cache"})),
            None,
            id="memory-is-no-storage",
        ),
    ],
)
def test_limits(made: PodUse, expected: str | None) -> None:
    assert ranking.over_its_limits(made) == expected
    assert ranking.has_storage_limits(made.pod)


# ---- admission


GUARANTEED = {"requests": {"cpu": "1", "memory": "1"}, "limits": {"cpu": "1", "memory": "1"}}
TOLERATES = [{"key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"}]


@pytest.mark.parametrize(
    ("made", "conditions", "message"),
    [
        pytest.param(make_pod(), set(), "", id="no-pressure"),
        pytest.param(
            make_pod(), {"MemoryPressure"}, "The node had condition: [MemoryPressure]. ", id="best-effort"
        ),
        pytest.param(make_pod(tolerations=TOLERATES), {"MemoryPressure"}, "", id="tolerated"),
        pytest.param(
            make_pod(containers=[{"name": "c", "resources": GUARANTEED}]),
            {"MemoryPressure"},
            "",
            id="guaranteed",
        ),
        pytest.param(
            make_pod(containers=[{"name": "c", "resources": GUARANTEED}]),
            {"DiskPressure", "MemoryPressure"},
            "The node had condition: [DiskPressure MemoryPressure]. ",
            id="disk",
        ),
        pytest.param(make_pod(priority=2_000_000_000), {"DiskPressure"}, "", id="critical"),
    ],
)
def test_admission(made: Obj, conditions: set[str], message: str) -> None:
    if not message:
        ranking.check_admission(made, frozenset(conditions))
        return
    with pytest.raises(Rejected) as rejected:
        ranking.check_admission(made, frozenset(conditions))
    assert (rejected.value.reason, str(rejected.value)) == ("Evicted", message)
