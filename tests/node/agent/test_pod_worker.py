"""The worker with an in-memory runtime: whole lives of pods."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from control_plane.client.clock import SystemClock
from node.agent.downward import NodeFacts
from node.agent.parts import Parts
from node.agent.pod_worker import PodWorker
from node.agent.view import Host, Outcome
from tests.node.agent.conftest import eventually, make_pod, sidecar
from tests.node.agent.doubles import FakeEvents, FakeObjects, FakeProber, FakeRuntime, FakeStatus, FakeVolumes

Obj = dict[str, Any]


class World:
    def __init__(self, root: Path) -> None:
        self.runtime, self.status, self.events = FakeRuntime(), FakeStatus(), FakeEvents()
        self.prober, self.objects, self.volumes = FakeProber(), FakeObjects(), FakeVolumes(root)
        self.parts = Parts(
            runtime=self.runtime,
            volumes=self.volumes,
            objects=self.objects,
            status=self.status,
            events=self.events,
            prober=self.prober,
            clock=SystemClock(),
            host=Host("node-1", ("172.30.0.11",), "fake"),
            log_root=root / "logs",
            services=list,
            node=lambda: NodeFacts("node-1", {"cpu": "2", "memory": "4Gi"}),
        )
        self.tasks: list[asyncio.Task[None]] = []

    def run(self, pod: Obj, sandbox_ids: tuple[str, ...] = ()) -> PodWorker:
        worker = PodWorker(self.parts, pod, sandbox_ids)
        self.tasks.append(asyncio.create_task(worker.run()))
        self.tasks.append(asyncio.create_task(self._events(worker)))
        return worker

    async def _events(self, worker: PodWorker) -> None:
        async for _ in self.runtime.events():
            worker.wake()

    def of(self, pod: Obj) -> Obj:
        return self.status.statuses.get(pod["metadata"]["uid"]) or {}

    def phase(self, pod: Obj) -> str:
        return str(self.of(pod).get("phase"))

    def condition(self, pod: Obj, kind: str) -> str:
        found = [each for each in self.of(pod).get("conditions", []) if each["type"] == kind]
        return str(found[0]["status"]) if found else ""

    def container(self, pod: Obj, name: str) -> Obj:
        for key in ("initContainerStatuses", "containerStatuses"):
            for each in self.of(pod).get(key) or []:
                if each["name"] == name:
                    return dict(each)
        return {}

    def message(self, pod: Obj, name: str) -> str:
        state = self.container(pod, name).get("state") or {}
        return str((state.get("waiting") or {}).get("message") or "")

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    yield made
    await made.stop()


async def test_a_pod_becomes_running_and_ready(world: World) -> None:
    pod = make_pod()
    world.run(pod)
    await eventually(lambda: world.condition(pod, "Ready") == "True")
    status = world.of(pod)
    assert status["phase"] == "Running"
    assert (status["podIP"], status["hostIP"]) == ("10.244.1.7", "172.30.0.11")
    assert world.container(pod, "main")["state"]["running"]["startedAt"]
    assert world.events.reasons() == ["Pulled", "Created", "Started"]


async def test_init_containers_run_in_order_before_the_main_ones(world: World) -> None:
    pod = make_pod(init=[{"name": "one", "image": "exit:0"}, {"name": "two", "image": "exit:0"}])
    world.run(pod)
    await eventually(lambda: world.condition(pod, "Ready") == "True")
    assert [name for what, name in world.runtime.calls if what == "start"] == ["one", "two", "main"]
    assert world.condition(pod, "Initialized") == "True"


async def test_a_failing_container_backs_off(world: World) -> None:
    pod = make_pod(containers=[{"name": "main", "image": "exit:3"}])
    world.run(pod)
    waiting = await eventually(lambda: world.message(pod, "main"))
    assert waiting == "back-off 10s restarting failed container=main pod=web_default(uid-web)"
    container = world.container(pod, "main")
    assert container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert container["lastState"]["terminated"]["exitCode"] == 3
    assert container["restartCount"] == 1
    assert world.phase(pod) == "Running"
    said = "Back-off restarting failed container main in pod web_default(uid-web)"
    assert ("Warning", "BackOff", said) in world.events.events


@pytest.mark.parametrize(("code", "phase"), [(0, "Succeeded"), (1, "Failed")], ids=["well", "badly"])
async def test_a_pod_that_is_not_restarted_ends(world: World, code: int, phase: str) -> None:
    pod = make_pod(containers=[{"name": "main", "image": f"exit:{code}"}], restartPolicy="Never")
    world.run(pod)
    await eventually(lambda: world.phase(pod) == phase)
    await eventually(lambda: world.volumes.torn_down == ["uid-web"])
    assert [what for what, _ in world.runtime.calls] == ["start", "stop_sandbox"]


async def test_deletion_stops_main_containers_then_sidecars_and_lets_the_object_go(world: World) -> None:
    pod = make_pod(init=[sidecar("one"), sidecar("two")])
    worker = world.run(pod)
    await eventually(lambda: world.condition(pod, "Ready") == "True")
    deleted = {
        **pod,
        "metadata": {**pod["metadata"], "deletionTimestamp": "x", "deletionGracePeriodSeconds": 30},
    }
    worker.update(deleted)
    await eventually(lambda: world.status.finished == ["uid-web"])
    assert [name for what, name in world.runtime.calls if what == "stop"] == ["main", "two", "one"]
    assert world.phase(pod) == "Failed"
    worker.remove()
    await eventually(worker.finished.is_set)
    assert (world.runtime.sandboxes, world.runtime.containers) == ({}, {})


async def test_a_shorter_grace_is_obeyed(world: World) -> None:
    world.runtime.stubborn = True
    pod = make_pod()
    worker = world.run(pod)
    await eventually(lambda: world.condition(pod, "Ready") == "True")
    meta = {**pod["metadata"], "deletionTimestamp": "x"}
    worker.update({**pod, "metadata": {**meta, "deletionGracePeriodSeconds": 30}})
    await eventually(lambda: ("stop", "main") in world.runtime.calls)
    worker.update({**pod, "metadata": {**meta, "deletionGracePeriodSeconds": 0}})
    await eventually(lambda: world.status.finished == ["uid-web"])


async def test_an_image_that_cannot_be_had(world: World) -> None:
    world.runtime.bad_images["busybox"] = "ErrImagePull"
    pod = make_pod()
    world.run(pod)
    state = await eventually(lambda: world.container(pod, "main").get("state", {}).get("waiting", {}))
    await eventually(lambda: world.container(pod, "main")["state"]["waiting"]["reason"] == "ErrImagePull")
    await eventually(lambda: world.container(pod, "main")["state"]["waiting"]["reason"] == "ImagePullBackOff")
    assert state is not None
    assert world.phase(pod) == "Pending"
    assert ("Warning", "Failed", "Error: ErrImagePull") in world.events.events
    assert ("Normal", "BackOff", 'Back-off pulling image "busybox"') in world.events.events


async def test_a_missing_config_map_is_a_config_error(world: World) -> None:
    env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "a"}}}]
    pod = make_pod(containers=[{"name": "main", "env": env}])
    worker = world.run(pod)
    waiting = await eventually(lambda: world.message(pod, "main"))
    assert waiting == 'configmap "settings" not found'
    world.objects.objects["ConfigMap", "default", "settings"] = {"data": {"a": "1"}}
    worker.volumes_changed()
    await eventually(lambda: world.condition(pod, "Ready") == "True")


async def test_readiness_follows_the_probe(world: World) -> None:
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1, "failureThreshold": 1}
    pod = make_pod(containers=[{"name": "main", "readinessProbe": probe}])
    world.run(pod)
    await eventually(lambda: world.condition(pod, "Ready") == "True")
    world.prober.bad.add(("main", "exec"))
    await eventually(lambda: world.condition(pod, "Ready") == "False")
    assert ("Warning", "Unhealthy", "Readiness probe failed: said the double") in world.events.events


async def test_a_failed_liveness_probe_restarts_the_container(world: World) -> None:
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1, "failureThreshold": 1}
    pod = make_pod(containers=[{"name": "main", "livenessProbe": probe}])
    world.prober.bad.add(("main", "exec"))
    world.run(pod)
    await eventually(lambda: world.container(pod, "main").get("restartCount") == 1)
    killed = "Container main failed liveness probe, will be restarted"
    assert ("Normal", "Killing", killed) in world.events.events


async def test_a_restarted_agent_takes_over_what_runs(world: World) -> None:
    pod = make_pod()
    world.run(pod)
    await eventually(lambda: world.condition(pod, "Ready") == "True")
    await world.stop()
    before = world.runtime.running("main")
    world.status.statuses.clear()
    world.run({**pod, "status": world.of(pod)}, tuple(world.runtime.sandboxes))
    await eventually(lambda: world.condition(pod, "Ready") == "True")
    assert world.runtime.running("main") == before
    assert [what for what, _ in world.runtime.calls] == ["start"]


async def test_a_lost_sandbox_is_made_again(world: World) -> None:
    pod = make_pod(init=[{"name": "one", "image": "exit:0"}])
    worker = world.run(pod)
    await eventually(lambda: world.condition(pod, "Ready") == "True")
    world.runtime.kill_sandbox()
    worker.wake()
    await eventually(lambda: world.container(pod, "main").get("restartCount") == 1)
    await eventually(lambda: world.condition(pod, "Ready") == "True")
    assert [name for what, name in world.runtime.calls if what == "start"] == ["one", "main", "one", "main"]


async def test_a_rejected_pod_fails_without_starting(world: World) -> None:
    pod = make_pod()
    worker = PodWorker(world.parts, pod)
    worker.end(Outcome("Failed", "OutOfcpu", "Pod was rejected: Node didn't have enough resource: cpu"))
    world.tasks.append(asyncio.create_task(worker.run()))
    await eventually(lambda: world.phase(pod) == "Failed")
    assert world.of(pod)["reason"] == "OutOfcpu"
    assert world.runtime.sandboxes == {}


async def test_the_deadline_of_a_pod(world: World) -> None:
    pod = make_pod(activeDeadlineSeconds=1)
    world.run(pod)
    await eventually(lambda: world.phase(pod) == "Failed")
    assert world.of(pod)["reason"] == "DeadlineExceeded"
    assert world.runtime.running("main") is None


async def test_a_finished_main_container_ends_its_sidecars(world: World) -> None:
    pod = make_pod(
        containers=[{"name": "main", "image": "exit:0"}], init=[sidecar("proxy")], restartPolicy="Never"
    )
    world.run(pod)
    await eventually(lambda: world.phase(pod) == "Succeeded")
    assert world.runtime.running("proxy") is None
