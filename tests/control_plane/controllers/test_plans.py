"""What single controllers plan: which pods go first, whose objects are whose, what endpoints show, which taints."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.api import selectors
from control_plane.controllers import (
    endpoints,
    endpointslice,
    node_lifecycle,
    ownership,
    pod_gc,
    pods,
    service_backends,
    taint_eviction,
)
from control_plane.controllers.deployment import revision
from tests.control_plane.controllers.objects import (
    NOW,
    Obj,
    node,
    owner,
    pod,
    replica_set,
    with_image,
)


@pytest.mark.parametrize(
    ("victim", "survivor"),
    [
        pytest.param(pod("a", node=""), pod("b", ready=True), id="not assigned"),
        pytest.param(pod("a", phase="Pending"), pod("b"), id="pending"),
        pytest.param(pod("a"), pod("b", ready=True), id="not ready"),
        pytest.param(
            pod("a", ready=True, annotations={pods.DELETION_COST: "-5"}), pod("b", ready=True), id="cheaper"
        ),
        pytest.param(
            pod("a", ready=True, ready_s=10), pod("b", ready=True, ready_s=5000), id="ready for less"
        ),
        pytest.param(pod("a", ready=True, restarts=3), pod("b", ready=True, restarts=0), id="more restarts"),
        pytest.param(pod("a", ready=True, created_s=10), pod("b", ready=True, created_s=9000), id="younger"),
    ],
)
def test_deletion_order(victim: Obj, survivor: Obj) -> None:
    both = [survivor, victim]
    assert [each["metadata"]["name"] for each in pods.deletion_order(both, both, NOW)] == ["a", "b"]


def test_deletion_prefers_the_crowded_node() -> None:
    three = [pod("a", ready=True), pod("b", ready=True, node="n2"), pod("c", ready=True, node="n2")]
    assert pods.deletion_order(three, three, NOW)[-1]["metadata"]["name"] == "a"


OWNER = owner("ReplicaSet", "web")
OTHER = owner("ReplicaSet", "other")


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        pytest.param(pod("p", owner=OWNER), "keep", id="ours and matching"),
        pytest.param(pod("p", owner=OWNER, labels={"app": "x"}), "release", id="ours, does not match"),
        pytest.param(pod("p"), "adopt", id="orphan that matches"),
        pytest.param(pod("p", labels={"app": "x"}), None, id="orphan that does not"),
        pytest.param(pod("p", deleting=True), None, id="orphan that is going"),
        pytest.param(pod("p", owner=OTHER), None, id="another's"),
    ],
)
def test_claim(candidate: Obj, expected: str | None) -> None:
    selector = selectors.from_set({"app": "web"})
    claim = ownership.plan(OWNER, selector, [candidate], lambda _: True)
    found = {name: bool(getattr(claim, name)) for name in ("keep", "release", "adopt")}
    assert found == {name: name == expected for name in found}


def test_template_hash_depends_on_content_and_collisions_alone() -> None:
    one = revision.template_hash(with_image("a"), 0)
    assert one == revision.template_hash({key: with_image("a")[key] for key in ("spec", "metadata")}, 0)
    assert (
        len({one, revision.template_hash(with_image("b"), 0), revision.template_hash(with_image("a"), 1)})
        == 3
    )


def test_revisions_count_up_and_remember() -> None:
    deployment = owner("Deployment")
    old = replica_set("old", 0, annotations={revision.REVISION: "3"})
    again = replica_set("again", 1, annotations={revision.REVISION: "1"})
    assert revision.annotations_of_new(deployment, again, [old]) == {
        revision.REVISION: "4",
        revision.REVISION_HISTORY: "1",
    }
    assert revision.annotations_of_new(deployment, None, [])[revision.REVISION] == "1"


def test_history_is_cleaned_up_oldest_first_and_only_when_empty() -> None:
    deployment = owner("Deployment", revisionHistoryLimit=1)
    sets = [
        replica_set(f"r{number}", 0, annotations={revision.REVISION: str(number)}) for number in (3, 1, 2)
    ]
    for each in sets:
        each["status"]["observedGeneration"] = 1
    sets[1]["status"]["replicas"] = 1
    assert [each["metadata"]["name"] for each in revision.to_clean_up(deployment, sets)] == ["r2"]


# Services


def service(**spec: Any) -> Obj:
    made = owner("Service", "svc", "v1")
    made["spec"] = {
        "selector": {"app": "web"},
        "clusterIP": "10.96.0.7",
        "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}],
        **spec,
    }
    return made


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param({"ready": True}, (["10.0.0.1"], []), id="ready"),
        pytest.param({"ready": False}, ([], ["10.0.0.1"]), id="not ready"),
        pytest.param({"ready": True, "deleting": True}, ([], []), id="going"),
        pytest.param({"ready": False, "phase": "Succeeded"}, ([], []), id="finished"),
        pytest.param({"ready": True, "labels": {"app": "x"}}, ([], []), id="not selected"),
    ],
)
def test_endpoints(state: dict[str, Any], expected: tuple[list[str], list[str]]) -> None:
    backends = service_backends.backends(service(), [pod("p", ip="10.0.0.1", **state)])
    subsets = endpoints.plan(service(), backends, None).get("subsets", [])
    shown = tuple(
        [each["ip"] for subset in subsets for each in subset.get(key, [])]
        for key in ("addresses", "notReadyAddresses")
    )
    assert shown == expected


HTTP = [{"name": "http", "port": 8080, "protocol": "TCP"}]
NAMED = [{"port": 80, "targetPort": "web", "protocol": "TCP"}]


@pytest.mark.parametrize(
    ("spec", "state", "expected", "headless"),
    [
        pytest.param({}, {}, [(["10.0.0.1"], HTTP)], False, id="an address"),
        pytest.param({"clusterIP": "None"}, {}, [(["10.0.0.1"], HTTP)], True, id="headless"),
        pytest.param({"clusterIP": "None", "ports": []}, {}, [(["10.0.0.1"], None)], True, id="headless, no port"),
        pytest.param({"ports": []}, {}, [], False, id="an address, no port"),
        pytest.param({"ports": NAMED}, {}, [], False, id="a port that the pod does not have"),
        pytest.param({"publishNotReadyAddresses": True}, {"ready": False}, [(["10.0.0.1"], HTTP)], False, id="all"),
        pytest.param(
            {"publishNotReadyAddresses": True}, {"deleting": True}, [(["10.0.0.1"], HTTP)], False, id="all, going"
        ),
    ],
)  # fmt: skip
def test_endpoints_of_services(spec: Obj, state: Obj, expected: Any, headless: bool) -> None:
    of = service(**spec)
    backends = service_backends.backends(of, [pod("p", ip="10.0.0.1", **{"ready": True, **state})])
    made = endpoints.plan(of, backends, None)
    shown = [([each["ip"] for each in one["addresses"]], one.get("ports")) for one in made.get("subsets", [])]
    assert shown == expected
    assert ("service.kubernetes.io/headless" in made["metadata"]["labels"]) == headless


def test_endpoints_that_are_too_many_are_cut() -> None:
    ready = [pod(f"r{each}", ready=True, ip=f"10.1.{each // 250}.{each % 250}") for each in range(800)]
    unready = [pod(f"u{each}", ip=f"10.0.{each // 250}.{each % 250}") for each in range(400)]
    made = endpoints.plan(service(), service_backends.backends(service(), [*ready, *unready]), None)
    (subset,) = made["subsets"]
    assert (len(subset["addresses"]), len(subset["notReadyAddresses"])) == (800, 200)
    assert made["metadata"]["annotations"]["endpoints.kubernetes.io/over-capacity"] == "truncated"
    fewer = endpoints.plan(service(), service_backends.backends(service(), ready), made)
    assert "annotations" not in fewer["metadata"]


def test_a_named_port_is_each_pods_own() -> None:
    def serving(name: str, ip: str, number: int) -> Obj:
        ports = [{"name": "web", "containerPort": number, "protocol": "TCP"}]
        return pod(name, ready=True, ip=ip, spec={"containers": [{"name": "c", "ports": ports}]})

    named = service(ports=[{"port": 80, "targetPort": "web", "protocol": "TCP"}])
    backends = service_backends.backends(named, [serving("a", "10.0.0.1", 81), serving("b", "10.0.0.2", 82)])
    subsets = endpoints.plan(named, backends, None)["subsets"]
    assert [(each["ports"][0]["port"], each["addresses"][0]["ip"]) for each in subsets] == [
        (81, "10.0.0.1"),
        (82, "10.0.0.2"),
    ]


def plan_slices(count: int, current: list[Obj]) -> endpointslice.Plan:
    backing = [
        pod(f"p{number}", ready=True, ip=f"10.0.{number // 250}.{number % 250}") for number in range(count)
    ]
    backends = {"IPv4": service_backends.backends(service(), backing)}
    return endpointslice.plan(service(), backends, {}, current)


def test_slices_hold_a_hundred_each_and_settle() -> None:
    first = plan_slices(250, [])
    assert [len(each["endpoints"]) for each in first.create] == [100, 100, 50]
    assert len({each["metadata"]["name"] for each in first.create}) == 3
    again = plan_slices(250, first.create)
    assert (again.create, again.update, again.delete) == ([], [], [])


def test_one_more_endpoint_writes_one_slice() -> None:
    planned = plan_slices(251, plan_slices(250, []).create)
    assert (len(planned.create), len(planned.update), len(planned.delete)) == (0, 1, 0)


def test_a_service_without_pods_has_one_empty_slice() -> None:
    planned = plan_slices(0, [])
    assert [each["endpoints"] for each in planned.create] == [[]]
    assert plan_slices(0, planned.create) == endpointslice.Plan()


# Nodes


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param({"ready": "True"}, set(), id="ready"),
        pytest.param(
            {"ready": "Unknown"},
            {
                ("node.kubernetes.io/unreachable", "NoSchedule"),
                ("node.kubernetes.io/unreachable", "NoExecute"),
            },
            id="unreachable",
        ),
        pytest.param(
            {"ready": "True", "spec": {"unschedulable": True}},
            {("node.kubernetes.io/unschedulable", "NoSchedule")},
            id="cordoned",
        ),
        pytest.param(
            {"ready": "True", "taints": [{"key": node_lifecycle.NOT_READY, "effect": "NoSchedule"}]},
            set(),
            id="ready again",
        ),
        pytest.param(
            {"taints": [{"key": "mine", "effect": "NoExecute"}]}, {("mine", "NoExecute")}, id="others stay"
        ),
    ],
)
def test_taints_follow_conditions(state: dict[str, Any], expected: set[tuple[str, str]]) -> None:
    found = node_lifecycle.wanted_taints(node("n1", **state), NOW)
    assert {(each["key"], each["effect"]) for each in found} == expected


def test_a_heartbeat_counts_from_when_it_was_seen_to_change() -> None:
    lease = {"spec": {"renewTime": "t1"}}
    first = node_lifecycle.observe(None, node("n1"), lease, 100)
    assert node_lifecycle.observe(first, node("n1"), lease, 130).since == 100
    assert node_lifecycle.observe(first, node("n1"), {"spec": {"renewTime": "t2"}}, 130).since == 130


def test_silence_makes_conditions_unknown_once() -> None:
    quiet = node("n1")
    conditions = node_lifecycle.silenced(quiet, NOW)
    assert conditions is not None
    assert {each["status"] for each in conditions} == {"Unknown"}
    quiet["status"]["conditions"] = conditions
    assert node_lifecycle.silenced(quiet, NOW) is None


TAINT = {"key": "k", "value": "v", "effect": "NoExecute", "timeAdded": "2023-11-14T22:13:20Z"}  # NOW


@pytest.mark.parametrize(
    ("tolerations", "expected"),
    [
        pytest.param([], NOW, id="none"),
        pytest.param([{"operator": "Exists"}], None, id="everything"),
        pytest.param(
            [{"key": "k", "operator": "Equal", "value": "v", "tolerationSeconds": 30}], NOW + 30, id="a while"
        ),
        pytest.param([{"key": "k", "value": "w"}], NOW, id="another value"),
        pytest.param([{"key": "k", "operator": "Exists", "effect": "NoSchedule"}], NOW, id="another effect"),
        pytest.param(
            [{"key": "k", "operator": "Exists", "tolerationSeconds": -1}], NOW, id="negative is at once"
        ),
    ],
)
def test_eviction_time(tolerations: list[Obj], expected: float | None) -> None:
    assert taint_eviction.evict_at(tolerations, [TAINT], NOW) == expected


def test_eviction_time_of_a_taint_without_one() -> None:
    """It counts from when the loop saw it first, however often it looks."""
    taint = {key: value for key, value in TAINT.items() if key != "timeAdded"}
    tolerations = [{"key": "k", "operator": "Exists", "tolerationSeconds": 30}]
    seen = {taint_eviction.identity(taint): NOW - 20}
    assert taint_eviction.evict_at(tolerations, [taint], NOW, seen) == NOW + 10
    assert taint_eviction.evict_at(tolerations, [taint], NOW + 20, seen) == NOW + 20


def test_pod_gc_picks() -> None:
    finished = [pod(f"f{age}", phase="Succeeded", created_s=age) for age in (10, 30, 20)]
    assert [each["metadata"]["name"] for each in pod_gc.excess_finished(finished, 2)] == ["f30"]
    assert pod_gc.excess_finished(finished, 0) == []
    lost = [pod("a", node="gone"), pod("b"), pod("c", node="", deleting=True)]
    assert [each["metadata"]["name"] for each in pod_gc.on_missing_nodes(lost, {"n1"})] == ["a"]
    assert [each["metadata"]["name"] for each in pod_gc.never_scheduled(lost)] == ["c"]
