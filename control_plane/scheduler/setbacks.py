"""What becomes of a pod that was not bound: its assumption is undone, it goes back to the queue, and its status
and an event say why.

    no node fits            -> the post filters (preemption) -> parked until something happens that may help
    Reserve or Permit no    -> parked likewise
    an error, a failed bind -> tried again after a backoff

A pod that has gone, or is on a node already (an earlier answer was lost), is settled: nobody need try again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from control_plane.api import meta
from control_plane.client.types import Obj
from control_plane.scheduler import metrics as names
from control_plane.scheduler.cache import Cache
from control_plane.scheduler.cycle import Placement, PluginError, Scheduling
from control_plane.scheduler.extended import Reviewed
from control_plane.scheduler.framework.events import Action, ClusterEvent, Kind
from control_plane.scheduler.framework.fit_error import Diagnosis, FitError
from control_plane.scheduler.framework.pod_info import PodInfo, pod_info
from control_plane.scheduler.framework.profile import Profile
from control_plane.scheduler.framework.status import Status
from control_plane.scheduler.metrics import Metrics
from control_plane.scheduler.nominator import Nominator
from control_plane.scheduler.plugins.default_preemption import REVIEWED
from control_plane.scheduler.queue import QueuedPod, SchedulingQueue
from control_plane.scheduler.reporting import Reporter
from store.component import logs

log = logs.get("scheduler")


@dataclass(slots=True)
class Setbacks:
    algorithm: Scheduling
    cache: Cache
    nominator: Nominator
    queue: SchedulingQueue
    latest: Callable[[str, str], Obj | None]  # a pod by namespace and name
    reporter: Reporter
    metrics: Metrics

    def is_settled(self, pod: PodInfo) -> bool:
        """It is going, or is on a node already (bound by an earlier try whose answer was lost)."""
        current = self.latest(pod.namespace, pod.name)
        if current is None or meta.uid_of(current) != pod.uid or meta.is_deleting(current):
            return True
        return self.cache.pod(pod.uid) is not None

    def undo(self, profile: Profile, pod: PodInfo, placement: Placement) -> None:
        profile.run_unreserve(placement.state, pod, placement.node_name)
        if self.cache.is_assumed(pod.uid):
            self.cache.forget(pod.uid)
            current = self.latest(pod.namespace, pod.name) or {}
            if promised := (current.get("status") or {}).get("nominatedNodeName"):
                self.nominator.nominate(pod, promised)
            self.queue.happened(ClusterEvent(Kind.ASSIGNED_POD, Action.DELETE), pod.pod, None)

    # ---- what went wrong

    def no_fit(
        self, profile: Profile, queued: QueuedPod, failure: FitError, reviewed: Reviewed | None = None
    ) -> None:
        diagnosis = failure.diagnosis
        nominated: str | None = ""
        if profile.post_filters and failure.all_nodes:
            result, status = self._post_filter(profile, queued.pod, diagnosis, reviewed)
            diagnosis.post_filter_message = status.message if status else ""
            nominated = result
        self._unschedulable(profile, queued, str(failure), diagnosis, nominated)

    def rejected(self, profile: Profile, queued: QueuedPod, node_name: str, status: Status) -> None:
        """By Reserve or Permit."""
        if not status.rejected:
            self.broken(profile, queued, PluginError(status))
            return
        diagnosis = Diagnosis()
        diagnosis.add(node_name, status)
        self._unschedulable(profile, queued, str(FitError(1, diagnosis)), diagnosis, "")

    def broken(self, profile: Profile, queued: QueuedPod, failure: Exception) -> None:
        log.error("scheduling failed", pod=queued.pod.key, error=repr(failure))
        self._again(profile, queued, str(failure))

    def binding_failed(
        self, profile: Profile, queued: QueuedPod, pod: PodInfo, placement: Placement, status: Status
    ) -> None:
        log.info("not bound", pod=pod.key, node=placement.node_name, why=status.message)
        self.undo(profile, pod, placement)
        self.nominator.forget(pod.uid)
        self._again(profile, queued, f"binding rejected: {status.message}", "")

    # ---- inside

    def _post_filter(
        self, profile: Profile, pod: PodInfo, diagnosis: Diagnosis, reviewed: Reviewed | None
    ) -> tuple[str | None, Status | None]:
        """The node it was promised; "" when none; None when a former promise stands."""
        state = self.algorithm.state_for(profile, pod)
        if reviewed is not None:
            state[REVIEWED] = reviewed
        result, status = profile.run_post_filters(state, pod, diagnosis.statuses)
        if result is not None:
            self.nominator.nominate(pod, result.nominated_node)
            return result.nominated_node, status
        waiting = status is not None and "terminating pod on the nominated node" in status.message
        return (None if waiting else ""), status

    def _unschedulable(
        self, profile: Profile, queued: QueuedPod, message: str, diagnosis: Diagnosis, nominated: str | None
    ) -> None:
        if nominated == "":
            self.nominator.forget(queued.pod.uid)
        self.metrics.attempted(names.UNSCHEDULABLE, profile.scheduler_name)
        if not self._gave_up(queued):
            self.queue.park(queued, diagnosis.plugins, diagnosis.pending_plugins)
            self.reporter.failed(queued.pod, "Unschedulable", message, nominated)

    def _again(self, profile: Profile, queued: QueuedPod, message: str, nominated: str | None = None) -> None:
        self.metrics.attempted(names.ERROR, profile.scheduler_name)
        if not self._gave_up(queued):
            self.queue.requeue(queued)
            self.reporter.failed(queued.pod, "SchedulerError", message, nominated)

    def _gave_up(self, queued: QueuedPod) -> bool:
        """It is settled; otherwise the queue gets its latest form."""
        current = self.latest(queued.pod.namespace, queued.pod.name)
        if self.is_settled(queued.pod) or current is None:
            self.queue.done(queued.pod.uid)
            return True
        if current["metadata"].get("resourceVersion") != queued.pod.pod["metadata"].get("resourceVersion"):
            queued.pod = pod_info(current)
        return False
