"""All pods of this node: from what the API (and the manifests directory) wants and the runtime has, to workers.

One worker per uid. At start the runtime is asked first, so that a pod that already runs here is taken over; what
runs here without an object is stopped and removed, once the informer is known to be complete. A pod that is new
here must be admitted; one that was running is not asked again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

from node.agent import admission, container_config, resize
from node.agent.errors import Rejected
from node.agent.parts import Parts
from node.agent.pod_spec import (
    Obj,
    full_name,
    is_deleting,
    is_mirror,
    is_static,
    is_terminal,
    name,
    namespace,
    uid,
)
from node.agent.pod_worker import PodWorker
from node.agent.resizer import urgency
from node.agent.view import Outcome
from node.agent.volumes import cleanup
from node.runtime.interface import ContainerStatus, SandboxStatus
from store.component import logs

FAILED_WORKER_DELAY_S = 1.0

log = logs.get("node.pods")


class PodManager:
    def __init__(self, parts: Parts, node: Callable[[], Obj], pods_directory: Path) -> None:
        self._parts = parts
        self._node = node
        self._pods_directory = pods_directory
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._found: dict[str, list[SandboxStatus]] = {}  # by pod uid, of an earlier agent
        self._containers: dict[str, list[ContainerStatus]] = {}  # of those, by sandbox
        self._events_task: asyncio.Task[None] | None = None
        self.mirrors: dict[tuple[str, str], Obj] = {}
        self.check: Callable[[Obj], None] = lambda _: (
            None
        )  # what else must hold for a new pod; raises Rejected

    async def start(self) -> None:
        """Before the first pod is told: look what is here."""
        self._events_task = asyncio.create_task(self._follow_runtime(), name="runtime events")
        for sandbox in await self._parts.runtime.list_pod_sandboxes():
            self._found.setdefault(sandbox.config.uid, []).append(sandbox)
            self._containers[sandbox.id] = await self._parts.runtime.list_containers(sandbox.id)

    async def close(self) -> None:
        """Stop looking; the pods go on."""
        tasks = [*self._tasks.values(), *([self._events_task] if self._events_task else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ---- what is wanted

    def added(self, pod: Obj) -> None:
        if is_mirror(pod):
            self._mirror(pod)
            return
        if uid(pod) in self._workers:
            return
        found = self._found.pop(uid(pod), [])
        containers = [each for sandbox in found for each in self._containers.pop(sandbox.id, [])]
        given = resize.adopted(pod, containers) if found else None
        worker = PodWorker(self._parts, pod, tuple(each.id for each in found), given)
        if not found and not is_terminal(pod) and not is_deleting(pod):
            self._admit(worker)
        self._run(worker)

    def updated(self, _old: Obj, pod: Obj) -> None:
        worker = self._workers.get(uid(pod))
        if worker is None:
            self.added(pod)
        else:
            worker.update(pod)
        self.retry_resizes()

    def deleted(self, pod: Obj) -> None:
        if is_mirror(pod):
            self.mirrors.pop((namespace(pod), name(pod)), None)
            return
        worker = self._workers.get(uid(pod))
        if worker is not None:
            worker.remove(pod)

    def synced(self) -> None:
        """Every pod of this node has been told: what is left over here belongs to none."""
        for pod_uid, sandboxes in self._found.items():
            log.info("removing a pod that is gone", pod=pod_uid, sandboxes=len(sandboxes))
            worker = PodWorker(self._parts, _remains(sandboxes[0]), tuple(each.id for each in sandboxes))
            worker.remove()
            self._run(worker)
        self._found.clear()
        self._containers.clear()
        self.retry_resizes()
        for directory in self._pods_directory.iterdir() if self._pods_directory.is_dir() else ():
            if directory.name not in self._workers:
                cleanup.remove(directory)

    def _mirror(self, mirror: Obj) -> None:
        key = namespace(mirror), name(mirror)
        self.mirrors[key] = mirror
        for worker in self._workers.values():
            if is_static(worker.pod) and (namespace(worker.pod), name(worker.pod)) == key:
                self._parts.status.object_changed(worker.uid)

    def object_of(self, pod: Obj) -> Obj | None:
        """What stands for a pod in the API: for a static one, its mirror once it is there."""
        return self.mirrors.get((namespace(pod), name(pod))) if is_static(pod) else pod

    def objects_changed(self, pod_uid: str) -> None:
        if worker := self._workers.get(pod_uid):
            worker.volumes_changed()

    # ---- questions

    def worker(self, pod_namespace: str, pod_name: str) -> PodWorker | None:
        return next(
            (
                each
                for each in self._workers.values()
                if (namespace(each.pod), name(each.pod)) == (pod_namespace, pod_name)
            ),
            None,
        )

    def workers(self) -> list[PodWorker]:
        return list(self._workers.values())

    def pods(self) -> list[Obj]:
        return [each.pod for each in self._workers.values()]

    def pod(self, pod_uid: str) -> Obj | None:
        worker = self._workers.get(pod_uid)
        return worker.pod if worker else None

    # ---- inside

    def retry_resizes(self) -> None:
        """After every change, since each may have made room."""
        workers = [each for each in self._workers.values() if each.occupies]
        asking = [each for each in workers if each.resizer.wants and not is_deleting(each.pod)]
        for worker in sorted(asking, key=lambda each: urgency(each.resizer)):
            others = [each.pod for each in workers if each is not worker]
            if worker.resize(self._node(), others):
                log.info("pod resized", pod=full_name(worker.pod))

    def _admit(self, worker: PodWorker) -> None:
        others: Iterable[Obj] = [each.pod for each in self._workers.values() if each.occupies]
        try:
            self.check(worker.pod)
            admission.admit(worker.pod, self._node(), others)
        except Rejected as rejected:
            message = f"{admission.PREFIX}{rejected}"
            log.info("pod rejected", pod=full_name(worker.pod), reason=rejected.reason, why=str(rejected))
            self._parts.warn(worker.pod, rejected.reason, str(rejected))
            worker.end(Outcome("Failed", rejected.reason, message))

    def _run(self, worker: PodWorker) -> None:
        self._workers[worker.uid] = worker
        task = asyncio.create_task(worker.run(), name=f"pod {worker.uid}")
        self._tasks[worker.uid] = task
        task.add_done_callback(lambda done: self._ended(worker, done))

    def _ended(self, worker: PodWorker, task: asyncio.Task[None]) -> None:
        self._tasks.pop(worker.uid, None)
        if task.cancelled() or (error := task.exception()) is None:
            self._workers.pop(worker.uid, None)
            return
        log.error("pod worker failed; it begins anew", pod=full_name(worker.pod), error=repr(error))
        self._tasks[worker.uid] = asyncio.create_task(self._again(worker))

    async def _again(self, worker: PodWorker) -> None:
        """A worker that stumbled over its pod: from the runtime's record, after a while."""
        await self._parts.clock.sleep(FAILED_WORKER_DELAY_S)
        sandboxes = await self._parts.runtime.list_pod_sandboxes()
        mine = tuple(each.id for each in sandboxes if each.config.uid == worker.uid)
        fresh = PodWorker(self._parts, worker.resizer.desired, mine, worker.resizer.given)
        fresh.outcome = worker.outcome
        if worker.gone:
            fresh.remove()
        self._run(fresh)

    async def _follow_runtime(self) -> None:
        async for event in self._parts.runtime.events():
            if worker := self._workers.get(event.pod_uid):
                worker.wake()


def _remains(sandbox: SandboxStatus) -> Obj:
    """Just enough of a pod to stop what is left of it."""
    config = sandbox.config
    grace = config.annotations.get(container_config.GRACE_ANNOTATION)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": config.name, "namespace": config.namespace, "uid": config.uid},
        "spec": {
            "containers": [],
            "hostNetwork": config.host_network,
            **({"terminationGracePeriodSeconds": int(grace)} if grace else {}),
        },
    }
