"""The job loop: counts what has ended, lets it go, makes what is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from control_plane.api import meta, selectors
from control_plane.api.errors import StatusError, is_not_found
from control_plane.api.meta import Object
from control_plane.client.gvr import JOBS, PODS
from control_plane.controllers import batch, ownership, pods
from control_plane.controllers.context import NORMAL, WARNING, Context
from control_plane.controllers.controller import Controller, named
from control_plane.controllers.expectations import LOOK_AGAIN_S, Expectations
from control_plane.controllers.job import counting, per_index, status
from control_plane.controllers.job import plan as planning
from control_plane.controllers.job.counting import FINALIZER, Counted
from control_plane.controllers.job.per_index import INDEX
from control_plane.controllers.job.plan import Plan
from control_plane.controllers.pod_control import PodControl

MANAGED_BY = "kubernetes.io/job-controller"


class JobController(Controller):
    name = "job"
    account = "job-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.jobs = self.informer(JOBS)
        self.pods = self.informer(PODS)
        self.pod_control = PodControl(self, self.pods)
        self.expectations = self.pod_control.expectations
        self.statuses = Expectations(self.jobs)
        ownership.index_by_owner(self.pods)
        self.reconcile_each(self.jobs)
        self.reconcile_owner(self.pods, "Job")

    async def reconcile(self, key: str) -> float | None:
        if not self.statuses.satisfied(key):
            return LOOK_AGAIN_S
        job = named(self.jobs, key)
        if job is None:
            self.expectations.forget(key)
            await self._release_orphans(key)
            return None
        if job["spec"].get("managedBy", MANAGED_BY) != MANAGED_BY:
            return None
        owned = await self._owned(job)
        if planning.is_over(job):
            await self._release(pod for pod in owned if pods.is_finished(pod))
            return None
        counted = counting.count(job, owned)
        planned = self._plan(key, job, owned, counted)
        await self._write_status(
            key, job, status.status(job, owned, counted, planned.over, self.context.now())
        )
        await self._release(counted.release)
        await self._carry_out(key, job, owned, planned)
        return planned.wait_s

    def _plan(self, key: str, job: Object, owned: Sequence[Object], counted: Counted) -> Plan:
        now = self.context.now()
        ending = status.announced(job)
        if ending is not None:
            return Plan(delete=[pod for pod in owned if pods.is_active(pod)], over=ending)
        if meta.is_deleting(job):
            return Plan()
        if not self.expectations.satisfied(key, owned):
            return Plan(wait_s=LOOK_AGAIN_S)
        return planning.plan(job, owned, counted, now)

    async def _owned(self, job: Object) -> list[Object]:
        selector = selectors.from_label_selector(job["spec"].get("selector"))
        candidates = ownership.candidates(self.pods, job)
        return await ownership.claim(self.client, PODS, JOBS, job, selector, candidates, pods.is_active)

    async def _write_status(self, key: str, job: Object, wanted: dict[str, Any]) -> None:
        current = job.get("status") or {}
        if wanted == current:
            return
        self.statuses.wrote(key, await self.client.update(JOBS, {**job, "status": wanted}, "status"))
        for each in wanted.get("conditions", ()):
            if each not in current.get("conditions", ()):
                self._announce(job, each)

    def _announce(self, job: Object, condition: Object) -> None:
        if condition["type"] == "Complete":
            self.record(job, NORMAL, "Completed", "Job completed")
        elif condition["type"] == "Failed":
            self.record(job, WARNING, condition["reason"], condition["message"])
        elif condition["type"] == "Suspended":
            reason = "Suspended" if condition["status"] == "True" else "Resumed"
            self.record(job, NORMAL, reason, condition["message"])

    async def _carry_out(self, key: str, job: Object, owned: Sequence[Object], planned: Plan) -> None:
        if planned.over is None:
            await self._release(planned.delete)  # it does not count as a failure that we take a pod away
        failure = await self.pod_control.delete_all(key, job, planned.delete)
        creating = [pod_for(job, index, owned) for index in planned.create[: batch.BURST]]
        error = await self.pod_control.create_all(key, job, creating.__getitem__, len(creating))
        if first := error or failure:
            raise first

    async def _release(self, finished: Any) -> None:
        await asyncio.gather(
            *(self._drop_finalizer(pod) for pod in finished if FINALIZER in meta.finalizers(pod))
        )

    async def _drop_finalizer(self, pod: Object) -> None:
        patch = {"metadata": {"uid": meta.uid_of(pod), "$deleteFromPrimitiveList/finalizers": [FINALIZER]}}
        try:
            await self.client.patch(PODS, meta.name_of(pod), patch, meta.namespace_of(pod), "strategic")
        except StatusError as error:
            if not is_not_found(error):
                raise

    async def _release_orphans(self, key: str) -> None:
        """The job is gone: its pods must not be held by a finalizer that nobody serves any more."""
        namespace, name = meta.split_key(key)
        await self._release(
            pod
            for pod in self.pods.list(namespace)
            if (owner := meta.controller_of(pod)) and owner["kind"] == "Job" and owner["name"] == name
        )


def pod_for(job: Object, index: int | None, owned: Sequence[Object] = ()) -> Object:
    """A pod of the job; with an index it has its name, its label and the variable JOB_COMPLETION_INDEX."""
    prefix = meta.name_of(job) if index is None else f"{meta.name_of(job)}-{index}"
    pod = pods.from_template(job["spec"]["template"], job, f"{prefix}-")
    pod["metadata"]["finalizers"] = [*meta.finalizers(pod), FINALIZER]
    if index is None:
        return pod
    meta.set_annotation(pod, INDEX, str(index))
    meta.set_label(pod, INDEX, str(index))
    for key, count in per_index.next_annotations(job, index, owned).items():
        meta.set_annotation(pod, key, count)
    pod["spec"].setdefault("hostname", prefix)
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}
    for container in (*pod["spec"].get("initContainers", ()), *pod["spec"].get("containers", ())):
        container["env"] = [*container.get("env", ()), {"name": "JOB_COMPLETION_INDEX", "valueFrom": source}]
    return pod
