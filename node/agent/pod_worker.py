"""One task per pod: look, plan, act, wait. The shell around the pod state machine.

Serial per uid: a step looks at the runtime, asks `pod_state.plan`, reports the status, and starts what the plan
asks for as tasks of its own; each that ends wakes the worker. So a slow pull, hook or stop never keeps the
worker from seeing a deletion. Woken by the pod's changes, runtime events, probe verdicts and timers; a step
with nothing to do does nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from dataclasses import replace

from node.agent import container_config, container_files, pod_state, pod_status, references, termination
from node.agent.errors import VolumeError
from node.agent.parts import Parts
from node.agent.pod_observer import PodObserver
from node.agent.pod_spec import (
    Obj,
    find_container,
    full_name,
    is_terminal,
    name,
    namespace,
    uid,
)
from node.agent.probe_state import Kind
from node.agent.probes import PodProbes
from node.agent.resize import Allocation
from node.agent.resizer import Resizer
from node.agent.starter import Starter
from node.agent.stopper import Stopper
from node.agent.view import (
    Action,
    BackOff,
    CreateSandbox,
    Finish,
    ImageBackOff,
    Outcome,
    Problem,
    ResizeContainer,
    SetUpVolumes,
    StartContainer,
    StopContainer,
    StopSandbox,
    View,
)
from node.agent.volumes import empty_dir
from node.agent.waiting_events import WaitingEvents
from node.runtime.interface import ContainerStatus, RuntimeError_
from store.component import logs

RESYNC_S = 60.0
FIRST_RETRY_S = 0.5
MAX_RETRY_S = 16.0

log = logs.get("node.pod")


class PodWorker:
    def __init__(
        self, parts: Parts, pod: Obj, sandbox_ids: tuple[str, ...] = (), given: Allocation | None = None
    ) -> None:
        self.resizer = Resizer(parts, pod, given)
        self.pod = self.resizer.take(pod)  # as it is allocated here
        self.uid = uid(pod)
        self.outcome: Outcome | None = None
        self._parts = parts
        self._observer = PodObserver(parts, sandbox_ids)
        self._probes = PodProbes(parts.prober, parts.clock, self.wake, self._probe_failed)
        self._probes.remember(pod.get("status") or {})
        self._starter = Starter(parts)
        self._stopper = Stopper(parts)
        self._waiting = WaitingEvents(parts)
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._queue: deque[StartContainer] = deque()
        self._starting: dict[str, StartContainer] = {}
        self._start_task: asyncio.Task[None] | None = None
        self._stops: dict[str, tuple[float, asyncio.Task[None]]] = {}
        self._problems: dict[str, Problem] = {}
        self._started_at_s = parts.clock.wall()
        self._kill_at_s: float | None = None
        self.gone = False
        self._sandbox_busy = self._volumes_busy = self._volumes_ready = False
        self._sandbox_retry = self._volumes_retry = (0.0, 0)  # when, failures so far
        self._released = False
        self.finished = asyncio.Event()  # nothing of the pod is left on this node

    # ---- what others tell it

    def wake(self) -> None:
        self._wake.set()

    def update(self, pod: Obj) -> None:
        self.pod = self.resizer.take(pod)
        self.wake()

    def resize(self, node: Obj, others: Iterable[Obj]) -> bool:
        """Give the pod what it asks for, if that fits; True when it did."""
        done = self.resizer.decide(node, others)
        self.update(self.resizer.desired)
        return done

    def remove(self, pod: Obj | None = None) -> None:
        """The pod is no longer in the API: everything of it goes."""
        self.pod = self.resizer.take(pod) if pod else self.pod
        self.gone = True
        self.wake()

    def end(self, outcome: Outcome) -> None:
        """Rejected or evicted."""
        self.outcome = self.outcome or outcome
        self.wake()

    def volumes_changed(self) -> None:
        self._volumes_retry = (0.0, self._volumes_retry[1])
        for each in [each for each in self._problems.values() if not each.image]:
            del self._problems[each.container]
        self.wake()

    # ---- the loop

    async def run(self) -> None:
        """Until nothing of the pod is left. Cancelling it leaves the containers as they are."""
        failures = 0
        try:
            while not self.finished.is_set():
                self._wake.clear()
                try:
                    wake_at_s = await self._step()
                    failures = 0
                except (RuntimeError_, OSError, VolumeError) as error:
                    failures += 1
                    log.warning("pod step failed", pod=full_name(self.pod), error=repr(error))
                    wake_at_s = self._parts.clock.wall() + _retry_s(failures)
                if not self.finished.is_set():
                    await self._sleep(wake_at_s)
        finally:
            await self._let_go()

    async def _step(self) -> float | None:
        view = await self._look()
        self._probes.sync(view, self._address(view), termination.is_stopping(view))
        self.resizer.look(view)
        plan = pod_state.plan(view)
        self.outcome = self.outcome or plan.outcome
        if self._kill_at_s is None and (plan.outcome is not None or termination.is_stopping(view)):
            self._kill_at_s = view.now_s
        if not self.gone:
            old = self._parts.status.current(self.pod)
            self._parts.status.set(self.pod, pod_status.make(view, old))
        for action in plan.actions:
            await self._perform(action, view)
        if self._kill_at_s is not None:
            self._cancel_starts()
        return plan.wake_at_s

    async def _look(self) -> View:
        """What is under way is noted before looking: what ends meanwhile is seen as both, never as neither."""
        before = View(
            pod=self.pod,
            host=self._parts.host,
            now_s=self._parts.clock.wall(),
            probes=self._probes.snapshot(),
            problems=dict(self._problems),
            starting=frozenset(self._starting),
            stopping={key: deadline_s for key, (deadline_s, _) in self._stops.items()},
            sandbox_busy=self._sandbox_busy,
            sandbox_retry_at_s=self._sandbox_retry[0],
            volumes_ready=self._volumes_ready,
            volumes_busy=self._volumes_busy,
            volumes_retry_at_s=self._volumes_retry[0],
            outcome=self.outcome,
            kill_at_s=self._kill_at_s,
            gone=self.gone,
            started_at_s=self._started_at_s,
            resizing=self.resizer.state,
        )
        sandboxes, containers = await self._observer.look(self.pod)
        return replace(before, sandboxes=sandboxes, containers=containers)

    def _address(self, view: View) -> str:
        ips = view.sandbox.ips if view.sandbox and not view.sandbox.config.host_network else view.host.ips
        return ips[0] if ips else ""

    async def _sleep(self, wake_at_s: float | None) -> None:
        now_s = self._parts.clock.wall()
        wait_s = RESYNC_S if wake_at_s is None else min(max(wake_at_s - now_s, 0.0) + 0.001, RESYNC_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):  # not wait_for, which can lose a cancellation before 3.12
                await self._wake.wait()

    # ---- actions

    async def _perform(self, action: Action, view: View) -> None:
        match action:
            case SetUpVolumes():
                self._volumes_busy = True
                self._spawn(self._set_up_volumes())
            case CreateSandbox():
                self._sandbox_busy = True
                self._spawn(self._create_sandbox(action.attempt, bool(view.sandboxes)))
            case StopSandbox():
                self._sandbox_busy = True
                self._spawn(self._stop_sandbox(action.sandbox_id))
            case StartContainer():
                self._enqueue(action)
            case StopContainer():
                self._stop(action, view)
            case ResizeContainer():
                self.resizer.begin(action.container_id)
                latest = view.latest(action.name)
                self._spawn(self.resizer.change(self.pod, action.container_id, latest))
            case BackOff():
                self._waiting.back_off(self.pod, action)
            case ImageBackOff():
                self._waiting.image_back_off(self.pod, action)
            case Finish():
                await self._finish()

    async def _set_up_volumes(self) -> None:
        try:
            self._parts.objects.retain(self.uid, references.of_pod(self.pod))
            await self._parts.volumes.set_up(self.pod)
            self._volumes_ready = True
        except (VolumeError, OSError) as error:
            self._volumes_retry = _again(self._volumes_retry, self._parts.clock.wall())
            self._warn("FailedMount", str(error))
        finally:
            self._volumes_busy = False

    async def _create_sandbox(self, attempt: int, changed: bool) -> None:
        parts = self._parts
        if changed:
            self._tell("SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
        directory = container_files.log_directory(parts.log_root, self.pod)
        pod_directory = parts.volumes.pod_directory(self.uid)
        config = container_config.sandbox(
            self.pod, attempt, str(directory), parts.cluster_dns, parts.cluster_domain,
            empty_dir.in_memory(self.pod, pod_directory, parts.memory_bytes),
        )  # fmt: skip
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._observer.add(await parts.runtime.run_pod_sandbox(config))
            self._sandbox_retry = (0.0, 0)
        except (RuntimeError_, OSError) as error:
            self._sandbox_retry = _again(self._sandbox_retry, parts.clock.wall())
            self._warn("FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
        finally:
            self._sandbox_busy = False

    async def _stop_sandbox(self, sandbox_id: str) -> None:
        try:
            await self._parts.runtime.stop_pod_sandbox(sandbox_id)
        except (RuntimeError_, OSError) as error:
            self._warn("FailedKillPod", f"error killing pod: {error}")
            await self._parts.clock.sleep(FIRST_RETRY_S)
        finally:
            self._sandbox_busy = False

    def _enqueue(self, action: StartContainer) -> None:
        self._starting[action.name] = action
        self._queue.append(action)
        if self._start_task is None or self._start_task.done():
            self._start_task = self._spawn(self._start_queued())

    async def _start_queued(self) -> None:
        """One after another: a postStart hook holds back the containers behind it, as in kubelet."""
        try:
            while self._queue:
                action = self._queue.popleft()
                await self._start(action)
                self._starting.pop(action.name, None)
                self.wake()
        finally:
            self._queue.clear()
            self._starting.clear()

    async def _start(self, action: StartContainer) -> None:
        found = find_container(self.pod, action.name)
        sandbox = self._observer.sandbox
        if found is None or sandbox is None:
            return
        self._waiting.forget(action.name)
        old = self._observer.latest(action.name)
        before = self._problems.get(action.name)
        problem = await self._starter.start(self.pod, found[1], action, sandbox, old, before)
        self._problems.pop(action.name, None)
        if problem is not None:
            self._problems[action.name] = problem

    def _cancel_starts(self) -> None:
        if self._start_task is not None and not self._start_task.done():
            self._start_task.cancel()

    def _stop(self, action: StopContainer, view: View) -> None:
        under_way = self._stops.get(action.container_id)
        if under_way is not None:
            under_way[1].cancel()
        task = self._spawn(self._stop_one(action, self._address(view)))
        self._stops[action.container_id] = (action.deadline_s, task)

    async def _stop_one(self, action: StopContainer, address: str) -> None:
        try:
            await self._stopper.stop(self.pod, action, address)
        finally:
            current = self._stops.get(action.container_id)
            if current is not None and current[1] is asyncio.current_task():
                del self._stops[action.container_id]

    async def _finish(self) -> None:
        """Everything has stopped. An ended pod stays, with its logs, until its object is deleted."""
        if not self._released:
            await self._parts.volumes.tear_down(self.uid)
            self._probes.close()
            self._parts.objects.release(self.uid)
            self._parts.forget_tokens(self.uid)
            self._volumes_ready = False
            self._released = True
        if self.gone:
            await self._observer.remove_all()
            container_files.remove_logs(self._parts.log_root, self.pod)
            self._parts.volumes.forget(self.uid)
            self._parts.status.forget(self.uid)
            self.finished.set()
        elif self.pod["metadata"].get("deletionTimestamp"):
            self._parts.status.finish(self.pod)

    # ---- helpers

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"pod {namespace(self.pod)}/{name(self.pod)}")
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("pod action failed", pod=full_name(self.pod), error=repr(error))
        self.wake()

    async def _let_go(self) -> None:
        self._probes.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _probe_failed(self, container: str, kind: Kind, output: str) -> None:
        self._warn("Unhealthy", f"{kind.label} probe failed: {output}", container)

    def _tell(self, reason: str, message: str, container: str = "") -> None:
        self._parts.tell(self.pod, reason, message, container)

    def _warn(self, reason: str, message: str, container: str = "") -> None:
        self._parts.warn(self.pod, reason, message, container)

    @property
    def containers(self) -> list[ContainerStatus]:
        """As last seen."""
        return self._observer.containers

    @property
    def is_released(self) -> bool:
        """Everything of it has stopped, and its volumes are gone."""
        return self._released

    @property
    def occupies(self) -> bool:
        """Whether it still counts against the node's resources."""
        return self.outcome is None and not is_terminal(self.pod) and not self.gone


def _retry_s(failures: int) -> float:
    delay_s = min(FIRST_RETRY_S * 2.0 ** (failures - 1), MAX_RETRY_S)
    return delay_s * (0.75 + random.random() / 4)  # noqa: S311


def _again(before: tuple[float, int], now_s: float) -> tuple[float, int]:
    return now_s + _retry_s(before[1] + 1), before[1] + 1
