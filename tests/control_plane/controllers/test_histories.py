"""Whatever happens to the loops and to their pods, the world ends up as the workload says.

Random histories of lost watches, compactions, conflicts, broken connections, restarts of the loops, deleted and
failing pods, and changes of mind; then the world calms down and must converge.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.api import errors, meta
from control_plane.api.errors import StatusError
from control_plane.client.errors import ConnectionFailed
from control_plane.client.gvr import CRON_JOBS, DAEMON_SETS, GVR, JOBS, NODES, PODS, STATEFUL_SETS
from control_plane.controllers.context import Options
from control_plane.controllers.controller import Controller
from control_plane.controllers.cronjob import CronJobController
from control_plane.controllers.daemonset import DaemonSetController
from control_plane.controllers.daemonset.update import target_node
from control_plane.controllers.job import JobController
from control_plane.controllers.job.per_index import index_of
from control_plane.controllers.main import Manager
from control_plane.controllers.statefulset import StatefulSetController
from tests.control_plane.controllers.objects import Obj, node, with_image
from tests.control_plane.fakeapi import FakeApi
from tests.control_plane.virtual_clock import VirtualClock

TURN_S = 2.0
CALM_TURN_S = 61.0
CALM_TURNS = 40
EXAMPLES = 15

TROUBLE = ["nothing", "break watches", "compact", "conflict", "reset", "restart", "kill", "fail", "lag"]
LAGGING = (PODS, JOBS, STATEFUL_SETS, DAEMON_SETS, NODES)
Step = tuple[str, int]  # what happens, and a number to choose by


class World:
    def __init__(self, controller: type[Controller]) -> None:
        self.clock = VirtualClock()
        self.api = FakeApi(now=self.clock.wall)
        self.hand = self.api.client(clock=self.clock)
        self._controller = controller
        self._start()

    def _start(self) -> None:
        self._manager = Manager(self.api.client(clock=self.clock), Options(), [self._controller])
        self._running = asyncio.ensure_future(self._manager.run())

    async def stop(self) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        await self._manager.stop()

    async def restart(self) -> None:
        await self.stop()
        self._start()

    def change(self, gvr: GVR, name: str, mutate: Callable[[Obj], object]) -> None:
        found = self.api.get(gvr, name, "" if gvr is NODES else "default")
        if found is not None:
            changed = copy.deepcopy(found)
            mutate(changed)
            self.api.update(gvr, changed)

    async def trouble(self, what: str, number: int) -> None:
        match what:
            case "break watches":
                self.api.break_watches()
            case "compact":
                self.api.compact()
            case "conflict":
                self.api.fail_next(lambda method, _: method != "GET", lambda: errors.conflict("", "x", "x"))
            case "reset":
                self.api.fail_next(lambda method, _: method == "POST", lambda: ConnectionFailed("reset"))
            case "restart":
                await self.restart()
            case "lag":  # of another resource than before
                self.api.let_go()
                self.api.hold(LAGGING[number % len(LAGGING)])
            case "kill" if pods := self.api.list(PODS):
                name = meta.name_of(pods[number % len(pods)])
                with suppress(StatusError):  # a conflict that was meant for the loops
                    await self.hand.delete(PODS, name, "default", grace_period_s=0)
            case "fail" if pods := self.alive():
                self.end(pods[number % len(pods)], "Failed")

    def alive(self) -> list[Obj]:
        ended = ("Succeeded", "Failed")
        return [pod for pod in self.api.list(PODS) if meta.nested(pod, "status", "phase") not in ended]

    def end(self, pod: Obj, phase: str) -> None:
        at = meta.rfc3339(self.clock.wall())
        terminated = {"exitCode": 0 if phase == "Succeeded" else 1, "finishedAt": at}
        status = {"phase": phase, "containerStatuses": [{"name": "c", "state": {"terminated": terminated}}]}
        self.change(PODS, meta.name_of(pod), lambda found: found.update(status=status))

    def play_nodes(self, *, finish: bool = False) -> None:
        """Pods become ready, or end well; deleted ones go as soon as nothing holds them."""
        for pod in self.api.list(PODS):
            name = meta.name_of(pod)
            if meta.is_deleting(pod):
                if meta.finalizers(pod):
                    self.end(pod, "Failed")
                else:
                    self.api.delete(PODS, name, "default")
            elif not pod.get("status"):
                ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2023-11-14T22:13:20Z"}
                status = {"phase": "Running", "conditions": [ready]}
                self.change(PODS, name, lambda found, status=status: found.update(status=status))
            elif finish and pod["status"]["phase"] == "Running":
                self.end(pod, "Succeeded")


def run(
    controller: type[Controller],
    history: Sequence[Step],
    begin: Callable[[World], object],
    act: Callable[[World, Step], object],
    is_done: Callable[[World], bool],
    play: Callable[[World], object],
) -> None:
    async def whole() -> None:
        world = World(controller)
        try:
            begin(world)
            for what, number in history:
                await world.trouble(what, number)
                act(world, (what, number))
                play(world)
                await world.clock.advance(TURN_S)
            world.api.let_go()
            for _ in range(CALM_TURNS):
                if is_done(world):
                    return
                play(world)
                await world.clock.advance(CALM_TURN_S)
            raise AssertionError((history, [each.get("status") for each in world.api.list(PODS)]))
        finally:
            await world.stop()

    asyncio.run(whole())


@pytest.mark.parametrize("mode", ["NonIndexed", "Indexed"])
async def test_pods_of_a_job_are_not_made_again_while_what_was_counted_is_not_shown(mode: str) -> None:
    world = World(JobController)
    try:
        world.api.create(JOBS, workload("Job", "job", completions=2, parallelism=2, completionMode=mode))
        await world.clock.advance(TURN_S)
        await world.stop()
        world.change(JOBS, "job", lambda found: found["status"].pop("active"))  # killed before it wrote that
        world.play_nodes()
        world.play_nodes(finish=True)
        world.api.hold(JOBS)
        await world.restart()
        for _ in range(10):
            await world.clock.advance(TURN_S)
        world.api.let_go()
        await world.clock.advance(TURN_S)
        assert meta.condition_is_true(world.api.get(JOBS, "job", "default") or {}, "Complete")
        assert len(world.api.list(PODS)) == 2
    finally:
        await world.stop()


def histories(*more: str) -> Any:
    return st.lists(st.tuples(st.sampled_from([*TROUBLE, *more]), st.integers(0, 6)), max_size=14)


def workload(kind: str, name: str, **spec: Any) -> Obj:
    selector = {"matchLabels": {"app": "web"}}
    return {
        "apiVersion": "batch/v1" if kind == "Job" else "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": selector, "template": with_image("web:1"), **spec},
    }


def image_of(pod: Obj) -> str:
    return str(pod["spec"]["containers"][0]["image"])


def all_ready(pods: Sequence[Obj]) -> bool:
    return all(meta.condition_is_true(pod, "Ready") and not meta.is_deleting(pod) for pod in pods)


@settings(max_examples=EXAMPLES, deadline=None)
@given(histories("scale", "image"), st.sampled_from(["OrderedReady", "Parallel"]))
def test_stateful_sets_converge(history: list[Step], management: str) -> None:
    wanted = {"replicas": 3, "image": "web:1"}

    def act(world: World, step: Step) -> None:
        match step:
            case ("scale", number):
                wanted["replicas"] = number
            case ("image", number):
                wanted["image"] = f"web:{number}"
        spec = {"replicas": wanted["replicas"], "template": with_image(str(wanted["image"]))}
        if step[0] in ("scale", "image"):
            world.change(STATEFUL_SETS, "db", lambda found: found["spec"].update(spec))

    def is_done(world: World) -> bool:
        pods = world.api.list(PODS)
        names = sorted(meta.name_of(pod) for pod in pods)
        status = (world.api.get(STATEFUL_SETS, "db", "default") or {}).get("status") or {}
        return (
            names == [f"db-{number}" for number in range(int(wanted["replicas"]))]
            and all_ready(pods)
            and {image_of(pod) for pod in pods} <= {wanted["image"]}
            and status.get("readyReplicas", 0) == wanted["replicas"]
            and status.get("currentRevision") == status.get("updateRevision")
        )

    made = workload("StatefulSet", "db", replicas=3, podManagementPolicy=management, serviceName="db")
    run(
        StatefulSetController,
        history,
        lambda world: world.api.create(STATEFUL_SETS, made),
        act,
        is_done,
        World.play_nodes,
    )


@settings(max_examples=EXAMPLES, deadline=None)
@given(histories("add node", "remove node", "image"))
def test_daemon_sets_converge(history: list[Step]) -> None:
    image = ["web:1"]

    def begin(world: World) -> None:
        for number in range(3):
            world.api.create(NODES, node(f"n{number}"))
        world.api.create(DAEMON_SETS, workload("DaemonSet", "agent"))

    def act(world: World, step: Step) -> None:
        names = [meta.name_of(each) for each in world.api.list(NODES)]
        match step:
            case ("add node", number) if f"n{number}" not in names:
                world.api.create(NODES, node(f"n{number}"))
            case ("remove node", number) if f"n{number}" in names:
                world.api.delete(NODES, f"n{number}")
            case ("image", number):
                image[0] = f"web:{number}"
                template = with_image(image[0])
                world.change(DAEMON_SETS, "agent", lambda found: found["spec"].update(template=template))

    def is_done(world: World) -> bool:
        pods = world.api.list(PODS)
        nodes = sorted(meta.name_of(each) for each in world.api.list(NODES))
        status = (world.api.get(DAEMON_SETS, "agent", "default") or {}).get("status") or {}
        return (
            sorted(target_node(pod) for pod in pods) == nodes
            and all_ready(pods)
            and {image_of(pod) for pod in pods} <= set(image)
            and status.get("numberReady", 0) == status.get("updatedNumberScheduled", 0) == len(nodes)
        )

    run(DaemonSetController, history, begin, act, is_done, World.play_nodes)


@settings(max_examples=EXAMPLES, deadline=None)
@given(histories("suspend", "resume", "parallelism"), st.sampled_from(["NonIndexed", "Indexed"]))
def test_jobs_converge_and_count_without_loss(history: list[Step], mode: str) -> None:
    def act(world: World, step: Step) -> None:
        match step:
            case ("suspend" | "resume" as what, _):
                world.change(JOBS, "job", lambda found: found["spec"].update(suspend=what == "suspend"))
            case ("parallelism", number):
                world.change(JOBS, "job", lambda found: found["spec"].update(parallelism=number))

    def is_done(world: World) -> bool:
        found = world.api.get(JOBS, "job", "default") or {}
        if not meta.condition_is_true(found, "Complete"):
            world.change(JOBS, "job", lambda job: job["spec"].update(suspend=False, parallelism=2))
            return False
        status = found["status"]
        held = [pod for pod in world.api.list(PODS) if meta.finalizers(pod)]
        assert status["succeeded"] == 4
        assert status.get("completedIndexes", "0-3") == "0-3"
        ended = [index_of(pod) for pod in world.api.list(PODS) if pod["status"]["phase"] == "Succeeded"]
        assert mode == "NonIndexed" or sorted(ended) == sorted(set(ended)), "no index is run twice"
        return not held and not status.get("active")

    spec = {"completions": 4, "parallelism": 2, "backoffLimit": 1000, "completionMode": mode}
    made = workload("Job", "job", **spec)
    run(
        JobController,
        history,
        lambda world: world.api.create(JOBS, made),
        act,
        is_done,
        lambda world: world.play_nodes(finish=True),
    )


@settings(max_examples=EXAMPLES, deadline=None)
@given(histories("suspend", "resume", "end", "skip an hour"), st.sampled_from(["Allow", "Forbid", "Replace"]))
def test_cron_jobs_run_each_moment_once_and_keep_a_bounded_history(history: list[Step], policy: str) -> None:
    spec = {
        "schedule": "* * * * *",
        "timeZone": "Etc/UTC",
        "concurrencyPolicy": policy,
        "successfulJobsHistoryLimit": 2,
        "failedJobsHistoryLimit": 1,
        "jobTemplate": {"spec": {"template": with_image("web:1")}},
    }
    metadata = {"name": "tick", "namespace": "default"}
    made = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": spec}
    moments: dict[str, str] = {}  # uid by name: no moment is run twice

    def end_jobs(world: World, outcome: str) -> None:
        for job in world.api.list(JOBS):
            assert moments.setdefault(meta.name_of(job), meta.uid_of(job)) == meta.uid_of(job)
            if not meta.nested(job, "status", "conditions"):
                now = meta.rfc3339(world.clock.wall())
                status: Obj = {"conditions": [{"type": outcome, "status": "True"}], "startTime": now}
                if outcome == "Complete":
                    status["completionTime"] = now
                world.change(
                    JOBS, meta.name_of(job), lambda found, status=status: found.update(status=status)
                )

    def act(world: World, step: Step) -> None:
        match step:
            case ("suspend" | "resume" as what, _):
                suspend = what == "suspend"
                world.change(CRON_JOBS, "tick", lambda found: found["spec"].update(suspend=suspend))
            case ("end", number):
                end_jobs(world, "Complete" if number % 2 else "Failed")
            case ("skip an hour", _):
                world.clock._now_s += 3600

    def is_done(world: World) -> bool:
        found = world.api.get(CRON_JOBS, "tick", "default") or {}
        if found["spec"].get("suspend"):
            world.change(CRON_JOBS, "tick", lambda cron_job: cron_job["spec"].update(suspend=False))
            return False
        status = found.get("status") or {}
        latest = world.clock.wall() // 60 * 60
        last = meta.parse_time(status.get("lastScheduleTime")) or 0.0
        behind_s = 60 if policy == "Forbid" else 0  # a run may wait for the end of the one before
        jobs = world.api.list(JOBS)
        running = {meta.uid_of(job) for job in jobs if not meta.nested(job, "status", "conditions")}
        return (
            latest - behind_s <= last <= latest
            and {each["uid"] for each in status.get("active", ())} == running
            and len(jobs) - len(running) <= 3
        )

    run(
        CronJobController,
        history,
        lambda world: world.api.create(CRON_JOBS, made),
        act,
        is_done,
        lambda world: end_jobs(world, "Complete") if policy == "Forbid" else None,
    )
