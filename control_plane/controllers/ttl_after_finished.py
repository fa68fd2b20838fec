"""ttl-after-finished: deletes a Job some time after it has ended, if it says so."""

from __future__ import annotations

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_not_found
from control_plane.api.meta import Object
from control_plane.client.gvr import JOBS
from control_plane.controllers.context import Context
from control_plane.controllers.controller import Controller, named


def due_in_s(job: Object, now: float) -> float | None:
    """None while it runs, or without `ttlSecondsAfterFinished`."""
    ttl = job["spec"].get("ttlSecondsAfterFinished")
    if ttl is None or meta.is_deleting(job):
        return None
    ends = [
        each
        for type_ in ("Complete", "Failed")
        if (each := meta.condition(job, type_)) and each["status"] == "True"
    ]
    if not ends:
        return None
    ended = meta.parse_time(ends[0].get("lastTransitionTime")) or now
    return max(ended + float(ttl) - now, 0.0)


class TTLAfterFinishedController(Controller):
    name = "ttl-after-finished"
    account = "ttl-after-finished-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.jobs = self.informer(JOBS)
        self.reconcile_each(self.jobs)

    async def reconcile(self, key: str) -> float | None:
        job = named(self.jobs, key)
        wait_s = due_in_s(job, self.context.now()) if job else None
        if job is None or wait_s is None or wait_s > 0:
            return wait_s
        try:
            await self.client.delete(
                JOBS,
                meta.name_of(job),
                meta.namespace_of(job),
                uid=meta.uid_of(job),
                resource_version=meta.resource_version_of(job),
                propagation="Foreground",
            )
        except StatusError as error:
            if not is_not_found(error):
                raise
        return None
