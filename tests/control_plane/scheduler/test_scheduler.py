"""The whole scheduler against an API in memory: pods get nodes, users get reasons, failures are survived."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

import pytest

from control_plane.api import errors
from control_plane.client.errors import ConnectionFailed
from control_plane.client.gvr import EVENTS, NAMESPACES, NODES, PODS, REPLICA_SETS
from control_plane.client.types import Obj
from control_plane.scheduler import config
from control_plane.scheduler.config import ProfileConfig
from control_plane.scheduler.framework.interface import CycleState, PermitPlugin, ReservePlugin
from control_plane.scheduler.framework.pod_info import PodInfo, pod_info
from control_plane.scheduler.framework.profile import Profile
from control_plane.scheduler.framework.status import Code, Status, unschedulable
from control_plane.scheduler.plugins.registry import PLUGINS
from control_plane.scheduler.reporting import pod_status_patch
from control_plane.scheduler.scheduler import Scheduler
from tests.control_plane.fakeapi import FakeApi
from tests.control_plane.scheduler.build import HOST, ZONE, near, node, pod
from tests.control_plane.virtual_clock import VirtualClock, settle


class Cluster:
    def __init__(
        self, profiles: tuple[ProfileConfig, ...] = (ProfileConfig(),), plugins: Any = PLUGINS
    ) -> None:
        self.api = FakeApi()
        self.clock = VirtualClock()

        def make(handle: Scheduler) -> Mapping[str, Profile]:
            return {each.scheduler_name: config.build(each, handle, plugins) for each in profiles}

        self.scheduler = Scheduler(self.api.client("scheduler", clock=self.clock), make)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.ensure_future(self.scheduler.run())
        await settle()

    async def stop(self) -> None:
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        await self.scheduler.informers.stop()

    def add(self, *objects: Obj) -> None:
        for obj in objects:
            self.api.create(NODES if obj["kind"] == "Node" else PODS, obj)

    def pod(self, name: str) -> Obj:
        found = self.api.get(PODS, name, "default")
        assert found is not None
        return found

    def node_of(self, name: str) -> str:
        return self.pod(name)["spec"].get("nodeName", "")

    def condition(self, name: str) -> Obj:
        conditions = self.pod(name)["status"].get("conditions") or [{}]
        return {key: conditions[0].get(key) for key in ("type", "status", "reason", "message")}

    def events(self, reason: str) -> list[str]:
        return [event["message"] for event in self.api.list(EVENTS) if event["reason"] == reason]


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    cluster = Cluster()
    await cluster.start()
    yield cluster
    await cluster.stop()


async def test_a_pod_gets_a_node_and_an_event(cluster: Cluster) -> None:
    cluster.add(node("n1"), pod("web", cpu="1"))
    await settle()
    assert cluster.node_of("web") == "n1"
    assert cluster.events("Scheduled") == ["Successfully assigned default/web to n1"]
    (binding,) = cluster.api.requests("POST", "/binding")
    assert binding.body["metadata"]["uid"] == cluster.pod("web")["metadata"]["uid"]


async def test_a_pod_that_fits_nowhere_says_why_and_waits_for_a_reason(cluster: Cluster) -> None:
    cluster.add(node("n1", cpu="1"), node("n2", taints=["a=b:NoSchedule"]), pod("big", cpu="2"))
    await settle()
    said = (
        "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s). "
        "no new claims to deallocate, preemption: "
        "0/2 nodes are available: 2 Preemption is not helpful for scheduling."
    )
    assert cluster.events("FailedScheduling") == [said]
    assert cluster.condition("big") == {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": said,
    }
    before = len(cluster.api.log)
    await cluster.clock.advance(60)
    assert len(cluster.api.log) == before, "nothing happened, so nothing is tried"
    cluster.add(node("n3"))
    await cluster.clock.advance(2)
    assert cluster.node_of("big") == "n3"


async def test_capacity_is_never_given_twice(cluster: Cluster) -> None:
    """Bindings are slow; the assumptions keep the count."""
    cluster.add(node("n1", cpu="4"), node("n2", cpu="4"))
    await settle()
    cluster.add(*(pod(f"p{i}", cpu="1") for i in range(12)))
    await cluster.clock.advance(5)
    placed = [cluster.node_of(f"p{i}") for i in range(12)]
    assert (placed.count("n1"), placed.count("n2"), placed.count("")) == (4, 4, 4)
    cluster.api.delete(PODS, next(f"p{i}" for i in range(12) if placed[i]), "default")
    await cluster.clock.advance(15)
    assert sum(bool(each["spec"].get("nodeName")) for each in cluster.api.list(PODS)) == 8


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(lambda: ConnectionFailed("reset"), id="no answer"),
        pytest.param(lambda: errors.internal("boom"), id="500"),
        pytest.param(lambda: errors.conflict("", "pods/binding", "web", "why"), id="conflict"),
    ],
)
async def test_a_failed_binding_is_undone_and_tried_again(cluster: Cluster, failure: Any) -> None:
    cluster.add(node("n1", cpu="1"))
    await settle()
    cluster.api.fail_next(lambda method, target: "/binding" in target, failure)
    cluster.add(pod("web", cpu="1"))
    await settle()
    assert cluster.node_of("web") == ""
    assert cluster.scheduler.cache.assumed_count == 0
    await cluster.clock.advance(2)
    assert cluster.node_of("web") == "n1"


@pytest.mark.parametrize("asked_in_vain", [0, 3], ids=["asked once", "asked until there is an answer"])
async def test_a_binding_whose_answer_is_lost_is_not_undone(cluster: Cluster, asked_in_vain: int) -> None:
    """It is no failure: what the pod was promised is not given back."""
    cluster.add(node("n1", cpu="1"))
    await settle()

    def lost() -> Exception:
        bound = cluster.pod("web")
        bound["spec"]["nodeName"] = "n1"
        cluster.api.update(PODS, bound)
        return ConnectionFailed("the answer was lost")

    cluster.api.fail_next(lambda method, target: "/binding" in target, lost)
    if asked_in_vain:
        cluster.api.fail_next(
            lambda method, target: (method, target.endswith("/pods/web")) == ("GET", True),
            lambda: ConnectionFailed("reset"),
            asked_in_vain,
        )
    cluster.add(pod("web", cpu="1"))
    await settle()
    await cluster.clock.advance(5)
    assert len(cluster.api.requests("POST", "/binding")) == 1
    assert len(cluster.api.requests("GET", "/pods/web")) == asked_in_vain + 1
    assert [each["reason"] for each in cluster.api.list(EVENTS)] == ["Scheduled"]


async def test_somebody_elses_binding_is_accepted(cluster: Cluster) -> None:
    """Another scheduler was quicker: our binding is refused, the watch tells, nothing is left assumed."""
    cluster.add(node("n1"), node("n2", taints=["k=v:NoSchedule"]))
    await settle()

    def taken() -> Exception:
        bound = cluster.pod("web")
        bound["spec"]["nodeName"] = "n2"
        cluster.api.update(PODS, bound)
        return errors.conflict("", "pods/binding", "web", 'pod web is already assigned to node "n2"')

    cluster.api.fail_next(lambda method, target: "/binding" in target, taken)
    cluster.add(pod("web", cpu="1"))
    await cluster.clock.advance(30)
    assert cluster.node_of("web") == "n2"
    assert len(cluster.api.requests("POST", "/binding")) == 1
    assert cluster.scheduler.cache.assumed_count == 0
    found = cluster.scheduler.cache.get("n2")
    assert found is not None
    assert found.requested.milli_cpu == 1000


async def test_pods_of_others_are_left_alone(cluster: Cluster) -> None:
    cluster.add(node("n1"), pod("mine"), pod("theirs", schedulerName="other"))
    await cluster.clock.advance(1)
    assert (cluster.node_of("mine"), cluster.node_of("theirs")) == ("n1", "")


async def test_finished_pods_free_their_place(cluster: Cluster) -> None:
    cluster.add(node("n1", cpu="1"), pod("job", cpu="1", on="n1"), pod("next", cpu="1"))
    await settle()
    assert cluster.node_of("next") == ""
    done = cluster.pod("job")
    done["status"] = {"phase": "Succeeded"}
    cluster.api.update(PODS, done)
    await cluster.clock.advance(2)
    assert cluster.node_of("next") == "n1"


async def test_gated_pods_wait_for_their_gates(cluster: Cluster) -> None:
    cluster.add(node("n1"), pod("gated", schedulingGates=[{"name": "x"}]))
    await settle()
    assert cluster.node_of("gated") == ""
    opened = cluster.pod("gated")
    opened["spec"]["schedulingGates"] = []
    cluster.api.update(PODS, opened)
    await settle()
    assert cluster.node_of("gated") == "n1"


async def test_preemption_end_to_end(cluster: Cluster) -> None:
    cluster.add(node("n1", cpu="1"), pod("low", cpu="1"))
    await settle()
    cluster.add(pod("vip", cpu="1", priority=1000))
    await settle()
    victim = cluster.pod("low")
    assert victim["metadata"].get("deletionTimestamp")
    assert victim["status"]["conditions"][-1]["reason"] == "PreemptionByScheduler"
    assert cluster.pod("vip")["status"]["nominatedNodeName"] == "n1"
    await settle()
    assert len(cluster.events("Preempted")) == 1
    cluster.add(pod("late", cpu="1", priority=1))
    await cluster.clock.advance(5)
    cluster.api.delete(PODS, "low", "default")
    await cluster.clock.advance(15)
    assert (cluster.node_of("vip"), cluster.node_of("late")) == ("n1", "")


async def test_replicas_of_one_owner_spread(cluster: Cluster) -> None:
    """The system's default constraints, through the owner's selector."""
    for name, zone in (("a1", "a"), ("a2", "a"), ("b1", "b")):
        cluster.add(node(name, labels={ZONE: zone}))
    selector = {"matchLabels": {"app": "web"}}
    owner = {"metadata": {"name": "rs", "namespace": "default"}, "spec": {"selector": selector}}
    uid = cluster.api.create(REPLICA_SETS, owner)["metadata"]["uid"]
    await settle()
    references = [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": uid, "controller": True}
    ]
    for index in range(3):
        replica = pod(f"p{index}", labels={"app": "web"})
        replica["metadata"]["ownerReferences"] = references
        cluster.add(replica)
        await settle()
    assert {cluster.node_of(f"p{index}") for index in range(3)} == {"a1", "a2", "b1"}


async def test_a_namespace_that_gets_a_label_brings_pods_back(cluster: Cluster) -> None:
    cluster.api.create(NAMESPACES, {"metadata": {"name": "other"}})
    near_it = near(HOST, {"app": "db"}, namespaceSelector={"matchLabels": {"team": "x"}})
    required = {"requiredDuringSchedulingIgnoredDuringExecution": [near_it]}
    cluster.add(node("n1"), pod("db", on="n1", labels={"app": "db"}, namespace="other"))
    cluster.add(pod("web", affinity={"podAffinity": required}))
    await settle()
    assert cluster.node_of("web") == ""
    cluster.api.update(NAMESPACES, {"metadata": {"name": "other", "labels": {"team": "x"}}})
    await cluster.clock.advance(2)
    assert cluster.node_of("web") == "n1"


async def test_a_deleted_pod_is_forgotten(cluster: Cluster) -> None:
    cluster.add(pod("waits", cpu="1"))
    await settle()
    cluster.api.delete(PODS, "waits", "default")
    cluster.add(node("n1"))
    await cluster.clock.advance(20)
    assert len(cluster.scheduler.queue) == 0
    assert cluster.api.requests("POST", "/binding") == []


async def test_two_profiles() -> None:
    packing = {"scoringStrategy": {"type": "MostAllocated"}}
    packer = ProfileConfig("packer", args={"NodeResourcesFit": packing})
    cluster = Cluster((ProfileConfig(), packer))
    await cluster.start()
    cluster.add(node("n1"), node("n2"), pod("first", cpu="1", memory="8Gi", on="n1"))
    await settle()
    cluster.add(pod("spreads", cpu="1", memory="8Gi"))
    await settle()
    assert cluster.node_of("spreads") == "n2"
    cluster.add(pod("third", cpu="1", memory="8Gi", on="n1"))
    cluster.add(pod("packs", cpu="1", memory="8Gi", schedulerName="packer"))
    await settle()
    assert cluster.node_of("packs") == "n1"
    await cluster.stop()


class Gatekeeper(ReservePlugin, PermitPlugin):
    """Lets a pod wait; remembers what it was told."""

    name = "Gatekeeper"
    told: list[str]

    def __init__(self, handle: Any, args: Mapping[str, Any]) -> None:
        super().__init__(handle, args)
        self.told = []
        Gatekeeper.latest = self  # type: ignore[attr-defined]

    def reserve(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        self.told.append(f"reserve {pod.name} {node_name}")
        return unschedulable("not reserved") if pod.name == "unwanted" else None

    def unreserve(self, state: CycleState, pod: PodInfo, node_name: str) -> None:
        self.told.append(f"unreserve {pod.name}")

    def permit(self, state: CycleState, pod: PodInfo, node_name: str) -> tuple[Status | None, float]:
        return Status(Code.WAIT), 30.0


def gated() -> Cluster:
    profile = ProfileConfig(plugins={"multiPoint": {"enabled": [{"name": "Gatekeeper"}]}})
    return Cluster((profile,), {**PLUGINS, "Gatekeeper": Gatekeeper})


@pytest.mark.parametrize(
    ("name", "decide", "node_name", "told"),
    [
        pytest.param("a", "allow", "n1", ["reserve a n1"], id="allowed"),
        pytest.param("a", "reject", "", ["reserve a n1", "unreserve a"], id="rejected"),
        pytest.param("a", "", "", ["reserve a n1", "unreserve a"], id="time is up"),
        pytest.param("unwanted", "", "", ["reserve unwanted n1", "unreserve unwanted"], id="not reserved"),
    ],
)
async def test_reserve_and_permit(name: str, decide: str, node_name: str, told: list[str]) -> None:
    cluster = gated()
    await cluster.start()
    cluster.add(node("n1", cpu="1"), pod(name, cpu="1"))
    await settle()
    assert cluster.node_of(name) == ""
    uid = cluster.pod(name)["metadata"]["uid"]
    if decide == "allow":
        cluster.scheduler.waiting.allow(uid, "Gatekeeper")
    elif decide == "reject":
        cluster.scheduler.waiting.reject(uid, "Gatekeeper", "no")
    await settle()
    if not decide:
        await cluster.clock.advance(30)
    assert cluster.node_of(name) == node_name
    assert Gatekeeper.latest.told[: len(told)] == told  # type: ignore[attr-defined]
    await cluster.stop()


def test_the_condition_says_which_generation_it_is_about() -> None:
    obj = pod(metadata={"generation": 3})
    condition = pod_status_patch(obj, "Unschedulable", "no", None, 0.0)["conditions"][0]
    assert condition["observedGeneration"] == 3
    obj["status"]["conditions"] = [condition]
    assert pod_status_patch(obj, "Unschedulable", "no", None, 9.0) == {}
    obj["metadata"]["generation"] = 4
    assert pod_status_patch(obj, "Unschedulable", "no", None, 9.0)["conditions"][0]["observedGeneration"] == 4


async def test_a_promise_ends_where_the_pod_is_assumed() -> None:
    """Else it would count twice, and who fits beside it would not."""
    cluster = gated()
    await cluster.start()
    nominator = cluster.scheduler.nominator
    cluster.add(node("n1", cpu="2"), pod("vip", cpu="1", priority=9, status={"nominatedNodeName": "n1"}))
    await settle()
    assert Gatekeeper.latest.told == ["reserve vip n1"]  # type: ignore[attr-defined]
    assert not nominator.on("n1")
    await cluster.clock.advance(31)
    assert Gatekeeper.latest.told[1] == "unreserve vip"  # type: ignore[attr-defined]
    await cluster.stop()


async def test_promises_follow_the_status(cluster: Cluster) -> None:
    """But one made here stands until the status has told of it."""
    nominator = cluster.scheduler.nominator
    cluster.add(node("n1", cpu="1"), node("n2", cpu="1"), pod("vip", cpu="3"))
    await settle()
    uid = cluster.pod("vip")["metadata"]["uid"]

    async def told(**status: Any) -> str:
        obj = cluster.pod("vip")
        cluster.api.update(PODS, {**obj, "status": {**obj["status"], **status}})
        await settle()
        return nominator.node_of(uid)

    assert await told(nominatedNodeName="n1") == "n1"
    assert await told(message="something else") == "n1"
    assert await told(nominatedNodeName="n2") == "n2"
    assert await told(nominatedNodeName="") == ""
    nominator.nominate(pod_info(cluster.pod("vip")), "n1")
    assert await told(message="yet something else") == "n1"


@pytest.mark.parametrize("decide", ["allow", "reject"])
async def test_a_pod_that_waits_says_where_it_will_go(decide: str) -> None:
    cluster = gated()
    await cluster.start()
    cluster.add(node("n1", cpu="1"), pod("a", cpu="1"))
    await settle()
    assert cluster.pod("a")["status"]["nominatedNodeName"] == "n1"
    assert not cluster.scheduler.nominator.on("n1"), "it is assumed there"
    uid = cluster.pod("a")["metadata"]["uid"]
    if decide == "allow":
        cluster.scheduler.waiting.allow(uid, "Gatekeeper")
    else:
        cluster.scheduler.waiting.reject(uid, "Gatekeeper", "no")
    await settle()
    assert cluster.node_of("a") == ("n1" if decide == "allow" else "")
    if decide == "reject":
        assert not cluster.pod("a")["status"].get("nominatedNodeName")
        assert not cluster.scheduler.nominator.on("n1")
    await cluster.stop()
