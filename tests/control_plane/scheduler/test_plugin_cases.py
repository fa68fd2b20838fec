"""Corner cases of single plugins in which kube-scheduler 1.36 decides otherwise than one would guess."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.client.types import Obj
from control_plane.scheduler.config import ProfileConfig
from control_plane.scheduler.plugins.node_declared_features import UNSATISFIED
from control_plane.scheduler.plugins.volume_zone import REASON
from tests.control_plane.scheduler.build import HOST, ZONE, FakeStorage, World, near, node, pod, spread

MB = 1024 * 1024
GPU = "example.com/gpu"


def machine(name: str, cpu: int, memory: int, **scalars: str) -> Obj:
    return node(name, cpu=f"{cpu}m", memory=str(memory), **scalars)


# ---- NodeResourcesBalancedAllocation: how the pod changes the balance


def used(on: str, cpu: int, memory: int, **more: str) -> Obj:
    return pod(on=on, cpu=f"{cpu}m", memory=str(memory), requests=more)


@pytest.mark.parametrize(
    ("nodes", "there", "wanted", "expected"),
    [
        pytest.param(
            [machine("a", 4000, 10000), machine("b", 6000, 10000)],
            [],
            (3000, 5000),
            {"a": 68, "b": 75},
            id="empty nodes of different sizes",
        ),
        pytest.param(
            # a: 85 before (0.3, 0), 82 after (0.6, 0.25); b: 97 before (0.3, 0.25), 95 after (0.6, 0.5)
            [machine("a", 10000, 20000), machine("b", 10000, 20000)],
            [used("a", 3000, 0), used("b", 3000, 5000)],
            (3000, 5000),
            {"a": 73, "b": 74},
            id="what is there counts",
        ),
        pytest.param(
            # a: 85 before, 70 after (0.6, 0); b: 75 before (0, 0.5), 90 after (0.3, 0.5)
            [machine("a", 10000, 10000), machine("b", 10000, 10000)],
            [used("a", 3000, 0), used("b", 0, 5000)],
            (3000, 0),
            {"a": 67, "b": 82},
            id="a pod that balances is better than one that unbalances",
        ),
        pytest.param(
            # a: 50 before (1, 0), 100 after (1, 1)
            [machine("a", 1000, 1000), machine("b", 1000, 1000)],
            [used("a", 1000, 0)],
            (0, 1000),
            {"a": 100, "b": 50},
            id="the best and the worst",
        ),
    ],
)
def test_balanced_allocation(
    nodes: list[Obj], there: list[Obj], wanted: tuple[int, int], expected: dict[str, int]
) -> None:
    obj = pod(cpu=f"{wanted[0]}m", memory=str(wanted[1]))
    assert World(nodes, there).scores("NodeResourcesBalancedAllocation", obj) == expected


def test_a_resource_that_the_pod_does_not_ask_for_is_not_balanced() -> None:
    """(0.857, 0.125) alone: 63 after 100."""
    args = {"resources": [{"name": "cpu"}, {"name": "memory"}, {"name": GPU}]}
    world = World([machine("a", 3500, 40000, **{GPU: "8"}), machine("b", 3500, 40000)])
    scores = world.scores("NodeResourcesBalancedAllocation", pod(cpu="3", memory="5000"), args)
    assert scores == {"a": 56, "b": 56}


# ---- NodeResourcesFit


def test_ratio_counts_pods_that_ask_for_nothing_with_the_defaults() -> None:
    shape = [{"utilization": 0, "score": 0}, {"utilization": 100, "score": 10}]
    strategy = {"type": "RequestedToCapacityRatio", "requestedToCapacityRatio": {"shape": shape}}
    world = World([machine("a", 1000, 1000 * MB)], [pod(on="a")])
    assert world.scores("NodeResourcesFit", pod(), {"scoringStrategy": strategy}) == {"a": 30}


# ---- ImageLocality


def test_images_of_volumes_count_but_do_not_raise_the_ceiling() -> None:
    """(300 + 400 - 23) / (1000 - 23), on every node."""
    nodes = [node("a", images={"app:1": 300 * MB, "data:latest": 400 * MB})]
    obj = pod(images=["app:1"], volumes=[{"name": "v", "image": {"reference": "data"}}])
    assert World(nodes).scores("ImageLocality", obj) == {"a": 69}


# ---- PodTopologySpread

WEB = {"app": "web"}
EVERY: Obj = {"maxSkew": 1, "topologyKey": HOST, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}


@pytest.mark.parametrize(
    ("constraint", "fits"),
    [
        pytest.param(spread(HOST, 1, WEB), False, id="a selector"),
        pytest.param(EVERY, True, id="an empty selector counts nobody that is there, only the pod itself"),
        pytest.param({**EVERY, "maxSkew": 1, "labelSelector": None}, True, id="no selector means nobody"),
    ],
)
def test_spread_selectors(constraint: Obj, fits: bool) -> None:
    there = [pod(on="a", labels=WEB), pod(on="a", labels=WEB)]
    obj = pod(labels=WEB, topologySpreadConstraints=[constraint])
    assert World([node("a"), node("b")], there).feasible("PodTopologySpread", obj)["a"] is not fits


# ---- InterPodAffinity

PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def likes(term: Obj) -> Obj:
    return {"podAffinity": {PREFERRED: [{"weight": 5, "podAffinityTerm": term}]}}


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        pytest.param(None, None, id="ignored for pods without preferences"),
        pytest.param(likes(near(ZONE, {"app": "db"})), {"a": 100, "b": 0}, id="not for those who have some"),
    ],
)
def test_preferences_of_existing_pods(own: Obj | None, expected: dict[str, int] | None) -> None:
    nodes = [node("a", labels={ZONE: "1"}), node("b", labels={ZONE: "2"})]
    there = [pod(on="a", affinity=likes(near(ZONE, WEB)))]
    args = {"ignorePreferredTermsOfExistingPods": True}
    assert World(nodes, there).scores("InterPodAffinity", pod(labels=WEB, affinity=own), args) == expected


# ---- VolumeZone

OLD_ZONE = "failure-domain.beta.kubernetes.io/zone"


@pytest.mark.parametrize(
    ("volume", "labels", "fits"),
    [
        pytest.param({ZONE: "1"}, {ZONE: "1"}, True, id="today's labels"),
        pytest.param({OLD_ZONE: "1"}, {OLD_ZONE: "1"}, True, id="former labels"),
        pytest.param({OLD_ZONE: "1"}, {ZONE: "1"}, True, id="a volume labelled long ago"),
        pytest.param({ZONE: "1"}, {OLD_ZONE: "1"}, False, id="a node labelled long ago"),
        pytest.param({ZONE: "1__2"}, {ZONE: "2"}, True, id="several zones"),
        pytest.param({ZONE: "1__"}, {ZONE: "2"}, True, id="a label that cannot be read"),
        pytest.param({ZONE: "1"}, {}, True, id="a node without zones"),
        pytest.param(
            {ZONE: "1"}, {"topology.kubernetes.io/region": "r"}, False, id="a node with a region only"
        ),
    ],
)
def test_volume_zone(volume: dict[str, str], labels: dict[str, str], fits: bool) -> None:
    claim = {"kind": "PersistentVolumeClaim", "metadata": {"name": "c"}, "spec": {"volumeName": "v"}}
    storage = FakeStorage([claim], [{"metadata": {"name": "v", "labels": volume}, "spec": {}}])
    obj = pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}])
    world = World([node("n", labels=labels)], storage=storage)
    assert world.feasible("VolumeZone", obj) == {"n": "" if fits else REASON.message}


# ---- NodeDeclaredFeatures

RESTART_ALL, HOST_USERS = "RestartAllContainersOnContainerExits", "UserNamespacesHostNetworkSupport"


def restarts_all() -> Obj:
    obj = pod()
    obj["spec"]["containers"][0]["restartPolicyRules"] = [{"action": "RestartAllContainers"}]
    return obj


@pytest.mark.parametrize(
    ("obj", "declared", "missing"),
    [
        pytest.param(pod(), [], "", id="nothing needed"),
        pytest.param(restarts_all(), [], RESTART_ALL, id="a rule that the node must know"),
        pytest.param(restarts_all(), [RESTART_ALL, "Other"], "", id="it does"),
        pytest.param(
            pod(hostNetwork=True, hostUsers=False), [RESTART_ALL], HOST_USERS, id="host network, own users"
        ),
        pytest.param(pod(hostNetwork=True), [], "", id="host network alone"),
    ],
)
def test_declared_features(obj: Obj, declared: list[str], missing: str) -> None:
    machine = node("n")
    machine["status"]["declaredFeatures"] = declared
    said = UNSATISFIED + missing if missing else ""
    assert World([machine]).feasible("NodeDeclaredFeatures", obj).get("n", "") == said


# ---- the cycle


def test_the_first_node_will_do_when_nobody_scores() -> None:
    plugins: dict[str, Any] = {"score": {"disabled": [{"name": "*"}]}}
    world = World([node(f"n{index:03}") for index in range(200)], profile=ProfileConfig(plugins=plugins))
    assert world.place(pod()).evaluated == 1
    assert world.place(pod()).node_name == "n001"


# ---- VolumeRestrictions

RBD = {"pool": "p", "image": "i", "monitors": ["a", "b"]}


@pytest.mark.parametrize(
    ("source", "there", "wanted", "fits"),
    [
        pytest.param("gcePersistentDisk", {"pdName": "d"}, {"pdName": "d"}, False, id="gce: the same disk"),
        pytest.param("gcePersistentDisk", {"pdName": "d"}, {"pdName": "e"}, True, id="gce: another"),
        pytest.param(
            "gcePersistentDisk",
            {"pdName": "d", "readOnly": True},
            {"pdName": "d", "readOnly": True},
            True,
            id="gce: two readers",
        ),
        pytest.param(
            "awsElasticBlockStore",
            {"volumeID": "d", "readOnly": True},
            {"volumeID": "d", "readOnly": True},
            False,
            id="ebs: not even two readers",
        ),
        pytest.param(
            "iscsi",
            {"iqn": "q", "lun": 0},
            {"iqn": "q", "lun": 1},
            False,
            id="iscsi: the unit does not matter",
        ),
        pytest.param("iscsi", {"iqn": "q"}, {"iqn": "r"}, True, id="iscsi: another target"),
        pytest.param("rbd", RBD, {**RBD, "monitors": ["b", "c"]}, False, id="rbd: a monitor in common"),
        pytest.param("rbd", RBD, {**RBD, "monitors": ["c"]}, True, id="rbd: another cluster"),
        pytest.param("rbd", RBD, {**RBD, "image": "j"}, True, id="rbd: another image"),
    ],
)
def test_disks(source: str, there: Obj, wanted: Obj, fits: bool) -> None:
    def using(disk: Obj, on: str = "") -> Obj:
        return pod(on=on, volumes=[{"name": "v", source: disk}])

    world = World([node("n")], [using(there, "n")])
    said = "" if fits else "node(s) had no available disk"
    assert world.feasible("VolumeRestrictions", using(wanted)) == {"n": said}
