"""Pods leave tainted devices: tables of the plan, the loop over an API in memory, and rules through kubectl."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from control_plane.api import meta
from control_plane.api.device_taints import selects
from control_plane.client.gvr import DEVICE_TAINT_RULES, PODS, RESOURCE_CLAIMS, RESOURCE_SLICES
from control_plane.controllers.context import Options
from control_plane.controllers.device_taint_eviction import DeviceTaintEvictionController
from control_plane.controllers.device_taint_eviction import plan as plans
from control_plane.controllers.device_taint_eviction.plan import Counts, Eviction, Source
from control_plane.controllers.main import Manager
from tests.control_plane.apiserver.harness import Harness
from tests.control_plane.controllers.objects import NOW, Obj
from tests.control_plane.controllers.objects import pod as any_pod
from tests.control_plane.controllers.process import controller_manager
from tests.control_plane.fakeapi import FakeApi
from tests.control_plane.virtual_clock import VirtualClock, settle

RESULT = {"request": "r", "driver": "d.io", "pool": "p", "device": "d1"}
DEVICE = ("d.io", "p", "d1")
TAINT = {"key": "k", "effect": "NoExecute", "timeAdded": meta.rfc3339(NOW)}
EXISTS = {"key": "k", "operator": "Exists"}


def claim(*tolerations: Obj, name: str = "c") -> Obj:
    results = [{**RESULT, "tolerations": list(tolerations)}]
    users = [{"resource": "pods", "name": "p", "uid": "uid-p"}]
    return {
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}"},
        "spec": {},
        "status": {"allocation": {"devices": {"results": results}}, "reservedFor": users},
    }


def rule(
    effect: str = "NoExecute", said: Obj | None = None, selector: Obj | None = None, name: str = "r"
) -> Obj:
    conditions = [{"type": plans.IN_PROGRESS, "observedGeneration": 2, **said}] if said else []
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "generation": 2},
        "spec": {"deviceSelector": selector or {}, "taint": {**TAINT, "effect": effect}},
        "status": {"conditions": conditions},
    }


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({}, True),
        (None, False),
        ({"driver": "d.io"}, True),
        ({"driver": "other.io"}, False),
        ({"pool": "p", "device": "d1"}, True),
        ({"pool": "p", "device": "d2"}, False),
        ({"pool": "q", "device": "d1"}, False),
    ],
    ids=["empty", "none", "driver", "other driver", "pool and device", "other device", "other pool"],
)
def test_what_a_rule_selects(selector: Obj | None, expected: bool) -> None:
    obj: Obj = {
        "spec": {"taint": TAINT} if selector is None else {"deviceSelector": selector, "taint": TAINT}
    }
    assert selects(obj, DEVICE) == expected


@pytest.mark.parametrize(
    ("tolerations", "sources", "expected"),
    [
        ([], [Source(TAINT)], Eviction(NOW)),
        ([], [Source({**TAINT, "effect": "NoSchedule"})], None),
        ([], [Source({**TAINT, "effect": "None"})], None),
        ([EXISTS], [Source(TAINT)], None),
        ([{**EXISTS, "tolerationSeconds": 9}], [Source(TAINT)], Eviction(NOW + 9)),
        ([], [], None),
        ([], [Source(TAINT, "r1"), Source(TAINT)], Eviction(NOW, frozenset({"r1"}))),
        (
            [{**EXISTS, "tolerationSeconds": 9}],
            [Source(TAINT, "r1"), Source({**TAINT, "key": "x"}, "r2")],
            Eviction(NOW, frozenset({"r1", "r2"})),
        ),
        ([EXISTS], [Source(TAINT, "r1"), Source({**TAINT, "key": "x"}, "r2")], Eviction(NOW, frozenset({"r2"}))),
    ],
    ids=[
        "tainted", "not to be evicted", "no effect", "tolerated", "for a while", "no taint",
        "by a rule and the driver", "by two rules, the first to end counts", "a rule that is tolerated has no part",
    ],
)  # fmt: skip
def test_when_a_pod_must_go(tolerations: list[Obj], sources: list[Source], expected: Eviction | None) -> None:
    assert plans.eviction([claim(*tolerations)], lambda _: sources, NOW) == expected


@pytest.mark.parametrize(
    ("effect", "counts", "expected"),
    [
        ("NoExecute", Counts(), ("False", "NotStarted", "")),
        ("NoExecute", Counts(1, 1), ("True", "PodsPendingEviction", "1 pod needs to be evicted in 1 namespace.")),
        (
            "NoExecute", Counts(2, 2, 1),
            ("True", "PodsPendingEviction", "2 pods need to be evicted in 2 different namespaces. "
             "1 pod evicted since starting the controller."),
        ),
        (
            "NoExecute", Counts(evicted=3),
            ("False", "Completed", "3 pods evicted since starting the controller."),
        ),
        ("NoSchedule", Counts(), ("False", "OtherEffect", "Eviction only happens for the NoExecute effect.")),
        (
            "None", Counts(1, 1, 0, 2, 1),
            ("False", "NoEffect", "2 published devices selected. 1 allocated device selected. 1 pod would be "
             "evicted in 1 namespace if the effect was NoExecute. This information will not be updated again. "
             "Recreate the DeviceTaintRule to trigger an update."),
        ),
    ],
    ids=["nothing to do", "one pod", "under way", "done", "another effect", "what would happen"],
)  # fmt: skip
def test_what_a_rule_says(effect: str, counts: Counts, expected: tuple[str, str, str]) -> None:
    made = plans.condition(rule(effect), counts, NOW)
    assert made is not None
    assert (made["status"], made["reason"], made["message"]) == expected
    assert made["observedGeneration"] == 2
    assert plans.condition(rule(effect, said=made), counts, NOW + 99) is None, "it says so already"


def test_a_restart_does_not_undo_what_was_said() -> None:
    done = {
        "status": "False",
        "reason": "Completed",
        "message": "3 pods evicted since starting the controller.",
    }
    assert plans.condition(rule(said=done), Counts(), NOW) is None
    assert plans.condition(rule(said={**done, "observedGeneration": 1}), Counts(), NOW) is not None


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (rule(), 0.0),
        (rule(said={"lastTransitionTime": meta.rfc3339(NOW - 4)}), 6.0),
        (rule(said={"lastTransitionTime": meta.rfc3339(NOW - 40)}), 0.0),
        (rule(said={"lastTransitionTime": meta.rfc3339(NOW - 4), "observedGeneration": 1}), 0.0),
        (rule("None", said={"lastTransitionTime": meta.rfc3339(NOW - 40)}), None),
    ],
    ids=["nothing said yet", "said just now", "said long ago", "said of another spec", "said once for all"],
)
def test_how_often_a_rule_is_written(obj: Obj, expected: float | None) -> None:
    assert plans.wait_s(obj, NOW) == expected


# ---- the loop


class World:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.api = FakeApi(now=self.clock.wall)
        self._manager = Manager(self.api.client(clock=self.clock), Options(), [DeviceTaintEvictionController])
        self._running = asyncio.ensure_future(self._manager.run())

    async def stop(self) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        await self._manager.stop()

    async def turn(self, seconds: float = 1.0) -> None:
        await self.clock.advance(seconds)
        await settle()

    def use(self, *tolerations: Obj) -> None:
        """A pod that uses the device."""
        entry = {"name": "e", "resourceClaimName": "c"}
        made = self.api.create(
            PODS, any_pod("p", node="n1", phase="Running", spec={"resourceClaims": [entry]})
        )
        held = copy.deepcopy(claim(*tolerations))
        held["status"]["reservedFor"][0]["uid"] = meta.uid_of(made)
        self.api.create(RESOURCE_CLAIMS, held)

    def taint(self, effect: str = "NoExecute", **selector: str) -> Obj:
        made = rule(effect, selector=selector)
        made["spec"]["taint"]["timeAdded"] = meta.rfc3339(self.clock.wall())
        return self.api.create(DEVICE_TAINT_RULES, {**made, "status": {}})

    def publish(self, *taints: Obj, generation: int = 1, name: str = "s") -> None:
        pool = {"name": "p", "generation": generation, "resourceSliceCount": 1}
        device = {"name": "d1", **({"taints": list(taints)} if taints else {})}
        spec = {"driver": "d.io", "pool": pool, "devices": [device]}
        found = self.api.get(RESOURCE_SLICES, name)
        if found is None:
            self.api.create(RESOURCE_SLICES, {"metadata": {"name": name}, "spec": spec})
        else:
            self.api.update(RESOURCE_SLICES, {**found, "spec": spec})

    @property
    def evicted(self) -> bool:
        found = self.api.get(PODS, "p", "default")
        return found is None or meta.is_deleting(found)

    def said(self) -> Obj:
        return meta.condition(self.api.get(DEVICE_TAINT_RULES, "r") or {}, plans.IN_PROGRESS) or {}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.stop()


async def test_pods_leave_a_device_that_its_driver_taints(world: World) -> None:
    world.use()
    world.publish()
    await world.turn()
    assert not world.evicted
    world.publish({"key": "k", "effect": "NoExecute"})
    await world.turn()
    found = world.api.get(PODS, "p", "default")
    assert found is not None
    assert meta.is_deleting(found)
    assert (meta.condition(found, "DisruptionTarget") or {})["reason"] == "DeletionByDeviceTaintManager"


async def test_a_taint_of_an_older_generation_counts_no_more(world: World) -> None:
    world.use()
    world.publish({"key": "k", "effect": "NoExecute"}, generation=1, name="old")
    world.publish(generation=2)
    await world.turn()
    assert not world.evicted


@pytest.mark.parametrize("published", [True, False], ids=["published", "no longer published"])
async def test_pods_leave_a_device_that_a_rule_taints(world: World, published: bool) -> None:
    world.use()
    if published:
        world.publish()
    await world.turn()
    assert not world.evicted
    world.taint(driver="d.io")
    await world.turn()
    assert world.evicted
    assert world.said()["reason"] == "PodsPendingEviction"
    await world.turn(11)
    said = world.said()
    assert (said["status"], said["reason"]) == ("False", "Completed")
    assert said["message"] == "1 pod evicted since starting the controller."


async def test_a_rule_for_other_devices_evicts_nobody(world: World) -> None:
    world.use()
    world.publish()
    world.taint(device="d2")
    await world.turn(20)
    assert not world.evicted
    assert world.said()["reason"] == "NotStarted"


async def test_without_effect_it_says_what_would_happen(world: World) -> None:
    world.use()
    world.publish()
    made = world.taint("None")
    await world.turn(20)
    assert not world.evicted
    assert world.said()["message"].startswith(
        "1 published device selected. 1 allocated device selected. 1 pod would be evicted in 1 namespace if"
    )
    found = world.api.get(DEVICE_TAINT_RULES, "r")
    assert found is not None
    world.api.update(
        DEVICE_TAINT_RULES, {**found, "spec": {**made["spec"], "taint": {**TAINT, "effect": "NoExecute"}}}
    )
    await world.turn()
    assert world.evicted


async def test_a_rule_that_goes_calls_the_eviction_off(world: World) -> None:
    world.use({**EXISTS, "tolerationSeconds": 30})
    world.publish()
    world.taint()
    await world.turn(12)
    assert world.said()["reason"] == "PodsPendingEviction"
    world.api.delete(DEVICE_TAINT_RULES, "r")
    await world.turn(60)
    assert not world.evicted


async def test_pods_go_when_their_patience_ends(world: World) -> None:
    world.use({**EXISTS, "tolerationSeconds": 30})
    world.taint()
    await world.turn(28)
    assert not world.evicted
    await world.turn(4)
    assert world.evicted


# ---- a real apiserver


RULE = """
apiVersion: resource.k8s.io/v1beta2
kind: DeviceTaintRule
metadata: {name: r}
spec:
  deviceSelector: {driver: d.io}
  taint: {key: k, effect: None}
"""
API = "/apis/resource.k8s.io/v1beta2"


def test_rules_through_kubectl(tmp_path: Path) -> None:
    with (
        Harness(tmp_path, "--runtime-config=resource.k8s.io/v1beta2=true") as api,
        controller_manager(api, "device-taint-eviction"),
    ):
        api.kubectl("apply", "-f", "-", stdin=RULE)
        api.kubectl(
            "wait",
            "--for=jsonpath={.status.conditions[0].reason}=NoEffect",
            "devicetaintrule/r",
            "--timeout=20s",
        )
        first = json.loads(api.kubectl("get", "devicetaintrule", "r", "-o", "json").stdout)
        assert first["metadata"]["generation"] == 1
        assert first["spec"]["taint"]["timeAdded"]
        api.kubectl("apply", "-f", "-", stdin=RULE.replace("effect: None", "effect: NoExecute"))
        api.kubectl(
            "wait",
            "--for=jsonpath={.status.conditions[0].reason}=NotStarted",
            "devicetaintrule/r",
            "--timeout=20s",
        )
        second = json.loads(api.kubectl("get", "devicetaintrule", "r", "-o", "json").stdout)
        assert second["metadata"]["generation"] == 2
        refused = api.kubectl(
            "apply", "-f", "-", stdin=RULE.replace("effect: None", "effect: Never"), check=False
        )
        assert 'Unsupported value: "Never"' in refused.stderr
        assert "deviceSelector" in api.kubectl("explain", "devicetaintrule.spec").stdout
        request = {"name": "r", "exactly": {"deviceClassName": "gpu"}}
        made = {"metadata": {"name": "c"}, "spec": {"devices": {"requests": [request]}}}
        former = api.create(f"{API}/namespaces/default/resourceclaims", made)
        assert former["apiVersion"] == "resource.k8s.io/v1beta2"
        now = api.get("/apis/resource.k8s.io/v1/namespaces/default/resourceclaims/c")
        assert now["spec"]["devices"]["requests"][0]["exactly"]["allocationMode"] == "ExactCount"
