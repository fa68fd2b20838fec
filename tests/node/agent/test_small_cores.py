"""The small pure parts, by tables: QoS, probe counting, status patches, the node object."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from control_plane.api.quantity import parse
from node.agent import node_object, probe_state, qos, status_patch
from node.agent.eviction.thresholds import parse_thresholds
from node.agent.node_object import Disk, Health, Machine, Settings
from node.agent.probe_state import Count, Timing
from node.agent.volumes import empty_dir
from node.runtime.interface import PodResources, Resources
from tests.node.agent.conftest import make_pod, sidecar

Obj = dict[str, Any]


def container(requests: Obj | None = None, limits: Obj | None = None, **more: Any) -> Obj:
    return {"name": "main", "resources": {"requests": requests or {}, "limits": limits or {}}, **more}


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        pytest.param(make_pod(), "BestEffort", id="nothing asked"),
        pytest.param(make_pod(containers=[container({"cpu": "1"})]), "Burstable", id="a request"),
        pytest.param(
            make_pod(containers=[container(limits={"cpu": "1", "memory": "1Gi"})]), "Guaranteed", id="both limits"
        ),
        pytest.param(
            make_pod(containers=[container({"cpu": "500m"}, {"cpu": "1", "memory": "1Gi"})]), "Burstable",
            id="a request below its limit",
        ),
        pytest.param(
            make_pod(containers=[container(limits={"cpu": "1", "memory": "1Gi"}), "other"]), "Burstable",
            id="one container of two",
        ),
        pytest.param(
            make_pod(containers=["a", "b"], resources={"limits": {"cpu": "1", "memory": "1Gi"}}), "Guaranteed",
            id="the pod as a whole",
        ),
    ],
)  # fmt: skip
def test_qos_class(pod: Obj, expected: str) -> None:
    assert qos.qos_class(pod) == expected


@pytest.mark.parametrize(
    ("pod", "cpu"),
    [
        pytest.param(
            make_pod(containers=[container({"cpu": "1"}), container({"cpu": "2"}, name="b")]), "3", id="a sum"
        ),
        pytest.param(
            make_pod(containers=[container({"cpu": "1"})], init=[container({"cpu": "5"}, name="i")]), "5",
            id="the largest init container",
        ),
        pytest.param(
            make_pod(
                containers=[container({"cpu": "1"})], init=[sidecar("s", resources={"requests": {"cpu": "2"}})]
            ), "3", id="sidecars count with the main ones",
        ),
        pytest.param(
            make_pod(
                containers=[container({"cpu": "1"})],
                init=[
                    sidecar("s", resources={"requests": {"cpu": "2"}}), container({"cpu": "4"}, name="i"),
                ],
            ), "6", id="an init container beside a sidecar",
        ),
        pytest.param(make_pod(containers=[container(limits={"cpu": "2"})]), "2", id="a limit stands in"),
        pytest.param(
            make_pod(
                containers=[container({"cpu": "1"})], resources={"requests": {"cpu": "3"}}, overhead={"cpu": "250m"}
            ), "3250m", id="the pod as a whole, and overhead",
        ),
        pytest.param(
            make_pod(containers=[container({"cpu": "1"})], resources={"requests": {"memory": "1Gi"}}), "1",
            id="the pod as a whole asks for something else",
        ),
    ],
)  # fmt: skip
def test_pod_requests(pod: Obj, cpu: str) -> None:
    assert str(qos.pod_requests(pod)["cpu"]) == cpu


def test_runtime_resources() -> None:
    spec = container({"cpu": "250m", "memory": "1Gi"}, {"cpu": "1500m", "memory": "2Gi"})
    made = qos.runtime_resources(make_pod(containers=[spec]), spec, node_memory_bytes=4 << 30)
    assert (made.cpu_shares, made.cpu_quota_us, made.memory_limit_bytes) == (256, 150_000, 2 << 30)
    assert made.oom_score_adj == 750


GIB = 1 << 30


@pytest.mark.parametrize(
    ("whole", "own", "expected"),
    [
        pytest.param({}, {}, Resources(2, 0, oom_score_adj=1000), id="nothing"),
        pytest.param(
            {"requests": {"cpu": "1", "memory": "2Gi"}}, {},
            Resources(2, 0, oom_score_adj=750, pod=PodResources(1024, 0)), id="requests",
        ),
        pytest.param(
            {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"cpu": "2", "memory": "3Gi"}}, {},
            Resources(
                2048, 200_000, 100_000, 3 * GIB, 750, PodResources(1024, 200_000, 100_000, 3 * GIB)
            ),
            id="its limits are those of containers that have none",
        ),
        pytest.param(
            {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"cpu": "2"}},
            {"requests": {"memory": "1Gi"}, "limits": {"cpu": "500m", "memory": "1Gi"}},
            Resources(512, 50_000, 100_000, GIB, 625, PodResources(1024, 200_000)),
            id="a container with its own, and its share of the rest",
        ),
    ],
)  # fmt: skip
def test_runtime_resources_of_a_pod_as_a_whole(whole: Obj, own: Obj, expected: Resources) -> None:
    """One of two containers, on a node with 4 GiB."""
    spec = {"name": "main", "resources": own}
    pod = make_pod(containers=[spec, "other"], **({"resources": whole} if whole else {}))
    assert qos.runtime_resources(pod, spec, node_memory_bytes=4 * GIB) == expected


TIMING = Timing(0, 10, 1, success_threshold=2, failure_threshold=3)


@pytest.mark.parametrize(
    ("results", "verdict"),
    [
        ("", None), ("+", None), ("++", True), ("-", None), ("--", None), ("---", False), ("++--", True),
        ("++---", False), ("++---+", False), ("++---++", True), ("+-+-+-", None),
    ],
)  # fmt: skip
def test_probes_need_their_thresholds(results: str, verdict: bool | None) -> None:
    state = Count()
    for each in results:
        state = probe_state.count(TIMING, state, each == "+")
    assert state.verdict is verdict


def test_the_first_probe_waits_for_its_delay() -> None:
    timing = replace(TIMING, initial_delay_s=5)
    assert probe_state.first_at_s(timing, started_at_s=100, now_s=101) == 105
    assert probe_state.first_at_s(timing, started_at_s=100, now_s=200) == 200


READY: Obj = {"type": "Ready", "status": "True"}
GATE: Obj = {"type": "lb", "status": "True"}


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        pytest.param({"phase": "Running"}, {"phase": "Running"}, None, id="nothing"),
        pytest.param({"phase": "Pending"}, {"phase": "Running"}, {"phase": "Running"}, id="a field"),
        pytest.param({"a": {}}, {"a": {"b": None}}, None, id="empty is absent"),
        pytest.param(
            {"conditions": [GATE]}, {"conditions": [READY, GATE]}, {"conditions": [READY]},
            id="only changed conditions",
        ),
        pytest.param({"reason": "x"}, {}, {"reason": None}, id="a reason that went away"),
        pytest.param(
            {"conditions": [{**READY, "status": "False", "reason": "x"}]}, {"conditions": [READY]},
            {"conditions": [{**READY, "reason": None}]}, id="a condition's reason that went away",
        ),
        pytest.param(
            {"podIPs": [{"ip": "1"}]}, {"podIPs": [{"ip": "2"}]},
            {"podIPs": [{"ip": "2"}, {"$patch": "replace"}]}, id="addresses are replaced",
        ),
    ],
)  # fmt: skip
def test_status_patches(old: Obj, new: Obj, status: Obj | None) -> None:
    patch = status_patch.make("u", old, new)
    assert patch == (None if status is None else {"metadata": {"uid": "u"}, "status": status})


MACHINE = Machine(
    cpus=2, memory_bytes=8 << 30, available_memory_bytes=4 << 30, disk=Disk(100 << 30, 50 << 30),
    max_pids=32768, pids=100, architecture="amd64", kernel="6.1", os_image="Debian", machine_id="m",
    system_uuid="s", boot_id="b",
)  # fmt: skip
SETTINGS = Settings("node-1", "172.30.0.11")


@pytest.mark.parametrize(
    ("pressure", "kind", "status", "reason"),
    [
        ("", "MemoryPressure", "False", "KubeletHasSufficientMemory"),
        ("MemoryPressure", "MemoryPressure", "True", "KubeletHasInsufficientMemory"),
        ("DiskPressure", "DiskPressure", "True", "KubeletHasDiskPressure"),
        ("DiskPressure", "PIDPressure", "False", "KubeletHasSufficientPID"),
        ("PIDPressure", "PIDPressure", "True", "KubeletHasInsufficientPID"),
    ],
)
def test_node_conditions(pressure: str, kind: str, status: str, reason: str) -> None:
    health = Health(pressure=frozenset({pressure}))
    made = node_object.make(SETTINGS, MACHINE, health, now_s=0)["status"]["conditions"]
    found = next(each for each in made if each["type"] == kind)
    assert (found["status"], found["reason"]) == (status, reason)


def test_allocatable_is_what_is_not_reserved_or_kept_free() -> None:
    reserved = {"cpu": parse("300m"), "memory": parse("1Gi"), "ephemeral-storage": parse("1Gi")}
    thresholds = parse_thresholds("memory.available<512Mi,nodefs.available<10%")
    settings = replace(SETTINGS, reserved=reserved, thresholds=thresholds)
    status = node_object.make(settings, MACHINE, Health(), now_s=0)["status"]
    assert status["capacity"]["memory"] == f"{8 << 20}Ki"
    assert {key: status["allocatable"][key] for key in ("cpu", "memory", "ephemeral-storage")} == {
        "cpu": "1700m",
        "memory": f"{(8 << 20) - (1 << 20) - 512 * 1024}Ki",
        "ephemeral-storage": str((100 << 30) - (1 << 30) - (10 << 30)),
    }
    plain = node_object.make(SETTINGS, MACHINE, Health(), now_s=0)["status"]["allocatable"]
    assert (plain["cpu"], plain["memory"]) == ("2", f"{(8 << 20) - 100 * 1024}Ki")


def test_a_node_whose_pods_are_not_isolated_says_so() -> None:
    made = node_object.make(SETTINGS, MACHINE, Health(not_isolated="no user namespaces"), now_s=0)
    found = next(each for each in made["status"]["conditions"] if each["type"] == "PodsNotIsolated")
    assert found["message"] == "pods are not isolated from the host: no user namespaces"


def test_heartbeats_alone_are_no_change() -> None:
    old = node_object.make(SETTINGS, MACHINE, Health(), now_s=0)["status"]
    new = node_object.make(SETTINGS, MACHINE, Health(), now_s=60, old=old)["status"]
    assert not node_object.changed(old, new)
    assert [each["lastTransitionTime"] for each in new["conditions"]] == ["1970-01-01T00:00:00Z"] * 4
    worse = node_object.make(SETTINGS, MACHINE, Health(not_ready="runtime is down"), now_s=60, old=old)[
        "status"
    ]
    assert node_object.changed(old, worse)


@pytest.mark.parametrize(
    ("whole", "container", "volume", "expected"),
    [
        ({}, {}, "", 4 * GIB),
        ({}, {"memory": "1Gi"}, "", GIB),
        ({"memory": "2Gi"}, {}, "", 2 * GIB),
        ({"memory": "2Gi"}, {"memory": "1Gi"}, "", 2 * GIB),
        ({"memory": "2Gi"}, {}, "1Gi", GIB),
    ],
    ids=[
        "the node's",
        "the containers'",
        "the pod's",
        "the pod's rather than the containers'",
        "the volume's",
    ],
)
def test_how_large_a_volume_in_memory_may_be(whole: Obj, container: Obj, volume: str, expected: int) -> None:
    mounts = [{"name": "cache", "mountPath": "/cache"}]
    source = {"medium": "Memory", **({"sizeLimit": volume} if volume else {})}
    pod = make_pod(
        containers=[{"name": "main", "volumeMounts": mounts, "resources": {"limits": container}}],
        volumes=[{"name": "cache", "emptyDir": source}],
        resources={"limits": whole},
    )
    (made,) = empty_dir.in_memory(pod, Path("/pod"), 4 * GIB)
    assert made.size_bytes == expected
