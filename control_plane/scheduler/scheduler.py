"""The scheduler's shell: takes pods from the queue, places them, and binds them while it goes on placing
others.

A cycle (take, place, assume, reserve, permit) does not await, so it sees one state of the cluster; the
binding (wait for permit, pre-bind, bind) runs as a task of its own, at most so many at once. What goes
wrong in a binding undoes the assumption and sends the pod back with backoff. Whatever a binding's answer
may have been, the watch tells in the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from control_plane.api import meta
from control_plane.client.backoff import Random
from control_plane.client.client import Client
from control_plane.client.events import EventRecorder
from control_plane.client.gvr import NAMESPACES, NODES, POD_DISRUPTION_BUDGETS, PODS
from control_plane.client.informer import InformerFactory, Transform, drop_managed_fields
from control_plane.client.types import Obj
from control_plane.scheduler import lookup, slim
from control_plane.scheduler import metrics as names
from control_plane.scheduler.cache import Cache
from control_plane.scheduler.cycle import Placement, Scheduling
from control_plane.scheduler.deadlines import Deadlines
from control_plane.scheduler.dynamic_resources.state import Devices, InformedDevices
from control_plane.scheduler.extended import Consultation
from control_plane.scheduler.extenders import ExtenderError, Extenders
from control_plane.scheduler.framework.annotations import group_of
from control_plane.scheduler.framework.fit_error import FitError
from control_plane.scheduler.framework.interface import CycleState, Nodes, Workloads
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.framework.profile import Profile
from control_plane.scheduler.framework.status import Status, error
from control_plane.scheduler.handlers import Handlers
from control_plane.scheduler.metrics import Metrics
from control_plane.scheduler.nominator import Nominator
from control_plane.scheduler.queue import ACTIVE, BACKOFF, GATED, UNSCHEDULABLE, QueuedPod, SchedulingQueue
from control_plane.scheduler.reporting import Reporter
from control_plane.scheduler.setbacks import Setbacks
from control_plane.scheduler.volumes.storage import InformedStorage, Storage
from control_plane.scheduler.waiting import Waiting
from control_plane.scheduler.workloads import InformedWorkloads
from store.component import logs

MAX_BINDINGS_AT_ONCE = 32  # enough to fill the store's batches; each is a connection of its own
BUSY_BINDINGS = 8  # with more under way, events wait
CYCLES_PER_TURN = 4  # then bindings and watches get the loop
MAX_ASKS = 120  # whether a pod is bound; a minute
CLEANUP_INTERVAL_S = 1.0
UNFINISHED = "status.phase!=Succeeded,status.phase!=Failed"

log = logs.get("scheduler")

MakeProfiles = Callable[["Scheduler"], Mapping[str, Profile]]


class Scheduler:
    """Also the `Handle` that its plugins are given."""

    def __init__(
        self,
        client: Client,
        make_profiles: MakeProfiles,
        *,
        informers: InformerFactory | None = None,
        metrics: Metrics | None = None,
        initial_backoff_s: float = 1.0,
        max_backoff_s: float = 10.0,
        extenders: Extenders | None = None,
    ) -> None:
        self.client = client
        self.clock = client.clock
        self.random: Random = client.random
        self.metrics = metrics or Metrics()
        self.informers = informers or InformerFactory(client)
        self.cache = Cache(self.clock)
        self.nodes: Nodes = self.cache
        self.nominator = Nominator()
        self.workloads: Workloads = InformedWorkloads(self.informers)
        self._extenders = extenders or Extenders()
        storage = InformedStorage(self.informers, self.clock)
        self.storage: Storage = storage
        self._devices = InformedDevices(self.informers)
        self.devices: Devices = self._devices
        self._pods = self.informers.informer(PODS, field_selector=UNFINISHED, transform=self._kept(slim.pod))
        self._pods.add_index("group", _group_key)
        self._nodes = self.informers.informer(NODES, transform=self._kept(slim.node))
        self._namespaces = self.informers.informer(NAMESPACES, transform=slim.namespace)
        self._budgets = self.informers.informer(POD_DISRUPTION_BUDGETS)
        self.profiles = dict(make_profiles(self))
        first = next(iter(self.profiles.values()))
        self.queue = SchedulingQueue(
            self.clock,
            first.queue_sort.sort_key,
            lambda pod: self.profile_of(pod).run_pre_enqueue(pod),
            {name: profile.interests() for name, profile in self.profiles.items()},
            initial_backoff_s,
            max_backoff_s,
        )
        self.waiting = Waiting(self.clock)
        self._algorithm = Scheduling(self.cache, self.nominator, self._draw)
        self._events = EventRecorder(client, first.scheduler_name, busy=self._is_busy)
        self._reporter = Reporter(client, self._events)
        self._setbacks = Setbacks(
            self._algorithm,
            self.cache,
            self.nominator,
            self.queue,
            self._pods.get,
            self._reporter,
            self.metrics,
        )
        self._bindings: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(MAX_BINDINGS_AT_ONCE)
        self._deadlines = Deadlines(self._pending, self._became_urgent, self._missed_deadline)
        handlers = Handlers(
            self.cache,
            self.queue,
            self.nominator,
            self.profiles,
            self.waiting.abandon,
            self._deadlines.watch,
        )
        handlers.attach(self._pods, self._nodes, self._namespaces)
        storage.attach(self.queue.happened)
        self._devices.attach(self.queue.happened)

    def _kept(self, slimmed: Transform) -> Transform:
        """Extenders are shown whole objects."""
        return drop_managed_fields if self._extenders else slimmed

    # ---- for plugins

    def namespace_labels(self, namespace: str) -> Mapping[str, str]:
        found = self._namespaces.get("", namespace)
        return meta.labels(found) if found else {}

    def disruption_budgets(self, namespace: str) -> Sequence[Obj]:
        return self._budgets.list(namespace)

    def profile_of(self, pod: PodInfo) -> Profile:
        return self.profiles[pod.scheduler_name]

    def preempt(self, pod: PodInfo, node_name: str, victims: Sequence[PodInfo]) -> None:
        self.metrics.preemptions.inc()
        self.metrics.victims.observe(len(victims))
        self._reporter.preempted(pod, node_name, victims)

    def group(self, namespace: str, name: str) -> Sequence[Obj]:
        return self._pods.by_index("group", f"{namespace}/{name}")

    def activate(self, uids: Sequence[str]) -> None:
        self.queue.activate(uids)

    def allow(self, uid: str, plugin: str) -> None:
        self.waiting.allow(uid, plugin)

    def reject(self, uid: str, plugin: str, reason: str) -> None:
        self.waiting.reject(uid, plugin, reason)

    # ---- running

    async def sync(self) -> None:
        """Fill the cache: may be done before leading, so that taking over is quick."""
        await self.informers.start()
        await self.informers.wait_synced()

    async def run(self) -> None:
        """Schedule until cancelled."""
        await self.sync()
        log.info("scheduling", nodes=len(self.cache.all()), pending=len(self.queue))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._schedule(), name="scheduling")
                group.create_task(self._clean_up(), name="scheduler clean-up")
        finally:
            await self._stop()

    async def _stop(self) -> None:
        tasks = list(self._bindings)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._devices.close()
        await self._events.close()
        await self._reporter.close()
        await self._extenders.close()

    def _is_busy(self) -> bool:
        """Bindings that are still to be sent count as well."""
        return len(self._bindings) > BUSY_BINDINGS

    async def _schedule(self) -> None:
        cycles = 0
        while True:
            queued = self.queue.take()
            if queued is None:
                await self.queue.wait()
                continue
            await self._slots.acquire()
            if self._extenders and self._extenders.interested(queued.pod):
                task = await self._schedule_extended(queued)
            else:
                task = self.schedule_one(queued)
            if task is None:
                self._slots.release()
            cycles += 1
            if cycles % CYCLES_PER_TURN == 0:
                await asyncio.sleep(0)

    async def _clean_up(self) -> None:
        while True:
            await self.clock.sleep(CLEANUP_INTERVAL_S)
            self.queue.flush()
            self.queue.flush_unschedulable()
            for pod in self.cache.expire():
                log.warning("binding was never confirmed", pod=pod.key, node=pod.node_name)
            self._deadlines.tick(self.clock.wall())
            self._measure()

    def _pending(self, uid: str) -> PodInfo | None:
        queued = self.queue.get(uid)
        return queued.pod if queued is not None else None

    def _became_urgent(self, pod: PodInfo) -> None:
        self.queue.activate([pod.uid])

    def _missed_deadline(self, pod: PodInfo, late_s: float) -> None:
        self.metrics.missed_deadlines.inc()
        self._reporter.missed_deadline(pod)
        log.info("deadline missed", pod=pod.key, late_s=round(late_s, 1))

    def _measure(self) -> None:
        for where in (ACTIVE, BACKOFF, UNSCHEDULABLE, GATED):
            self.metrics.pending.labels(where).set(self.queue.count(where))
        self.metrics.cache_size.labels("nodes").set(len(self.cache.all()))
        self.metrics.cache_size.labels("pods").set(self.cache.pod_count)
        self.metrics.cache_size.labels("assumed_pods").set(self.cache.assumed_count)

    # ---- one pod

    async def _schedule_extended(self, queued: QueuedPod) -> asyncio.Task[None] | None:
        """With extenders asked first."""
        profile = self.profile_of(queued.pod)
        try:
            consulted = await Consultation(self.cache, self._algorithm, self._extenders).about(
                profile, queued.pod
            )
        except Exception as failure:
            self._setbacks.broken(profile, queued, failure)
            return None
        if consulted.refusal is not None:
            self._setbacks.no_fit(profile, queued, consulted.refusal, consulted.reviewed)
            return None
        return self.schedule_one(queued, consulted.among, consulted.scores)

    def schedule_one(
        self,
        queued: QueuedPod,
        among: frozenset[str] | None = None,
        bonus: Mapping[str, int] | None = None,
    ) -> asyncio.Task[None] | None:
        """A scheduling cycle; the task of the binding that follows, if any."""
        pod = queued.pod
        profile = self.profile_of(pod)
        if self._setbacks.is_settled(pod):
            self.queue.done(pod.uid)
            return None
        started_s = self.clock.monotonic()
        try:
            placement = self._algorithm.place(profile, pod, among, bonus)
        except FitError as failure:
            self._setbacks.no_fit(profile, queued, failure)
            return None
        except Exception as failure:
            self._setbacks.broken(profile, queued, failure)
            return None
        self.metrics.algorithm_s.observe(self.clock.monotonic() - started_s)
        assumed = pod.on(placement.node_name)
        self.cache.assume(assumed)
        self.nominator.forget(pod.uid)  # it counts as a pod of its node from now on, not as a promise as well
        if not self._reserved(profile, queued, assumed, placement):
            return None
        task = asyncio.get_running_loop().create_task(
            self._bind(profile, queued, assumed, placement, started_s), name=f"bind {pod.key}"
        )
        self._bindings.add(task)
        task.add_done_callback(self._binding_ended)
        return task

    def _reserved(self, profile: Profile, queued: QueuedPod, pod: PodInfo, placement: Placement) -> bool:
        status = profile.run_reserve(placement.state, pod, placement.node_name)
        if status is None:
            status, waits = profile.run_permit(placement.state, pod, placement.node_name)
            if status is None:
                self.waiting.add(pod.uid, waits)
                return True
        self._setbacks.undo(profile, pod, placement)
        self._setbacks.rejected(profile, queued, placement.node_name, status)
        return False

    async def _bind(
        self, profile: Profile, queued: QueuedPod, pod: PodInfo, placement: Placement, started_s: float
    ) -> None:
        node_name, state = placement.node_name, placement.state
        try:
            if self.waiting.holds(pod.uid) or profile.has_pre_bind_work(state, pod, node_name):
                await self._reporter.announce(queued.pod, node_name)
            status = await self._unslotted(self.waiting.wait(pod.uid), self.waiting.holds(pod.uid))
            if status is not None and status.rejected:
                self._setbacks.undo(profile, pod, placement)
                self._setbacks.rejected(profile, queued, node_name, status)
                return
            before = profile.run_pre_bind(state, pod, node_name)
            spec = pod.pod["spec"]
            status = await self._unslotted(before, bool(spec.get("volumes") or spec.get("resourceClaims")))
            status = status or await self._bound(profile, state, pod, node_name)
        except asyncio.CancelledError:
            self._setbacks.undo(profile, pod, placement)
            raise
        except Exception as failure:
            log.exception("binding failed", pod=pod.key)
            status = error(repr(failure))
        if status is not None:
            self._setbacks.binding_failed(profile, queued, pod, placement, status)
            return
        self.cache.finish_binding(pod.uid)
        self.queue.done(pod.uid)
        profile.run_post_bind(state, pod, node_name)
        self._reporter.scheduled(queued.pod, node_name)
        now_s = self.clock.monotonic()
        self.metrics.attempted(names.SCHEDULED, profile.scheduler_name, now_s - started_s)
        self.metrics.sli_s.observe(now_s - queued.first_seen_s)

    async def _bound(
        self, profile: Profile, state: CycleState, pod: PodInfo, node_name: str
    ) -> Status | None:
        """An answer may be lost, and the binding be written all the same. What the pod was promised (volumes,
        devices) must not be given back then: after a failure the pod itself is asked."""
        status = await self._run_bind(profile, state, pod, node_name)
        if status is None:
            return None
        found = await lookup.found(self, PODS, pod.name, pod.namespace, MAX_ASKS)
        is_bound = found is not None and (meta.uid_of(found), found["spec"].get("nodeName")) == (
            pod.uid,
            node_name,
        )
        return None if is_bound else status

    async def _run_bind(
        self, profile: Profile, state: CycleState, pod: PodInfo, node_name: str
    ) -> Status | None:
        extender = self._extenders.binder(pod) if self._extenders else None
        if extender is None:
            return await profile.run_bind(state, pod, node_name)
        try:
            await extender.bind(pod, node_name)
        except ExtenderError as failure:
            return error(str(failure))
        return None

    async def _unslotted(self, waits: Awaitable[Status | None], long: bool) -> Status | None:
        """What may take long leaves its place to other bindings meanwhile; a gang of any size can wait."""
        if not long:
            return await waits
        self._slots.release()
        try:
            return await waits
        finally:
            await self._slots.acquire()

    def _binding_ended(self, task: asyncio.Task[None]) -> None:
        self._bindings.discard(task)
        self._slots.release()

    def _draw(self, positions: Sequence[int]) -> int:
        return positions[int(self.random() * len(positions))]


def _group_key(pod: Obj) -> list[str]:
    group = group_of(pod)
    return [f"{group.namespace}/{group.name}"] if group is not None else []
