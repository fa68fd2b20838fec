"""The cron job loop: each job looks at the clock again when its next run is due."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from email.utils import format_datetime
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_already_exists, is_not_found
from control_plane.api.meta import Object
from control_plane.client.gvr import CRON_JOBS, JOBS
from control_plane.controllers import ownership
from control_plane.controllers.context import NORMAL, WARNING, Context
from control_plane.controllers.controller import Controller, named
from control_plane.controllers.cronjob import plan as planning
from control_plane.controllers.cronjob import schedule as schedules
from control_plane.controllers.cronjob.plan import Active
from control_plane.controllers.cronjob.schedule import Schedule

LOCAL_ZONE_FILE = Path("/etc/localtime")


@lru_cache(maxsize=1)
def local_zone() -> tzinfo:
    """The machine's: that of a schedule which names none."""
    try:
        with LOCAL_ZONE_FILE.open("rb") as file:
            return ZoneInfo.from_file(file, key="Local")
    except (OSError, ValueError):
        return UTC


class CronJobController(Controller):
    name = "cronjob"
    account = "cronjob-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.cron_jobs = self.informer(CRON_JOBS)
        self.jobs = self.informer(JOBS)
        ownership.index_by_owner(self.jobs)
        self.reconcile_each(self.cron_jobs)
        self.reconcile_owner(self.jobs, "CronJob")

    async def reconcile(self, key: str) -> float | None:
        cron_job = named(self.cron_jobs, key)
        if cron_job is None:
            return None
        jobs = ownership.children(self.jobs, cron_job)
        found = planning.active(cron_job, jobs)
        await self._drop_missing(cron_job, found)
        old = cron_job.get("status") or {}
        wait_s, last_schedule = None, old.get("lastScheduleTime")
        timetable = None if meta.is_deleting(cron_job) else self._timetable(cron_job)
        try:
            if timetable is not None and not cron_job["spec"].get("suspend"):
                wait_s = planning.next_in_s(cron_job, timetable[0], self.context.now())
                started = await self._run_due(cron_job, *timetable, found)
                last_schedule = meta.rfc3339(started) if started is not None else last_schedule
        finally:
            await self._write_status(cron_job, found, last_schedule)
        for job in planning.history_to_delete(cron_job, jobs):
            await self._delete(cron_job, job)
        return wait_s

    def _timetable(self, cron_job: Object) -> tuple[Schedule, tzinfo] | None:
        """None, and an event, for a schedule that cannot be read: only a change of it can help."""
        spec = cron_job["spec"]
        zone, zone_name, text = local_zone(), spec.get("timeZone"), spec.get("schedule", "")
        try:
            if zone_name:
                zone = schedules.time_zone(zone_name)
        except ValueError as error:
            self.record(cron_job, WARNING, "UnknownTimeZone", f'invalid timeZone: "{zone_name}": {error}')
            return None
        try:
            return schedules.parse(text, zone), zone
        except ValueError as error:
            self.record(cron_job, WARNING, "UnparseableSchedule", f'unparseable schedule: "{text}" : {error}')
            return None

    async def _drop_missing(self, cron_job: Object, found: Active) -> None:
        """The informer may lag behind our own writes, so the API is asked before a job is called missing."""
        for name in await self._still_unexpected(cron_job, found):
            text = f"Saw a job that the controller did not create or forgot: {name}"
            self.record(cron_job, WARNING, "UnexpectedJob", text)
        for reference in found.unseen:
            try:
                job = await self.client.get(JOBS, reference["name"], meta.namespace_of(cron_job))
                gone = meta.uid_of(job) != reference.get("uid")
            except StatusError as error:
                if not is_not_found(error):
                    raise
                gone = True
            if gone:
                found.references.remove(reference)
                text = f"Active job went missing: {reference['name']}"
                self.record(cron_job, NORMAL, "MissingJob", text)

    async def _still_unexpected(self, cron_job: Object, found: Active) -> list[str]:
        if not found.unexpected:
            return []
        fresh = await self.client.get(CRON_JOBS, meta.name_of(cron_job), meta.namespace_of(cron_job))
        listed = {each.get("name") for each in meta.nested(fresh, "status", "active") or ()}
        return [name for name in found.unexpected if name not in listed]

    async def _run_due(
        self, cron_job: Object, schedule: Schedule, zone: tzinfo, found: Active
    ) -> float | None:
        """The moment whose run was started now, if any."""
        now = self.context.now()
        due = planning.due(cron_job, schedule, now)
        if due.many_missed:
            text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            self.record(cron_job, WARNING, "TooManyMissedTimes", text)
        if due.at is None or planning.was_started(cron_job, found.references, due.at):
            return None
        if planning.is_too_late(cron_job, due.at, now):
            when = format_datetime(datetime.fromtimestamp(due.at, zone))
            text = f"Missed scheduled time to start a job: {when}"
            self.record(cron_job, WARNING, "MissSchedule", text)
            return None
        policy = cron_job["spec"].get("concurrencyPolicy", "Allow")
        if policy == "Forbid" and found.references:
            text = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self.record(cron_job, NORMAL, "JobAlreadyActive", text)
            return None
        if policy == "Replace":
            await self._replace(cron_job, found)
        job = await self._create(cron_job, planning.make_job(cron_job, due.at, zone))
        if job is None:
            return None
        found.references.append(planning.reference(job))
        return due.at

    async def _replace(self, cron_job: Object, found: Active) -> None:
        for reference in list(found.references):
            metadata = {**reference, "namespace": meta.namespace_of(cron_job)}
            await self._delete(cron_job, {"metadata": metadata})
            found.references.remove(reference)

    async def _create(self, cron_job: Object, job: Object) -> Object | None:
        """None when somebody else's job has the name, or ours was made and noted before."""
        try:
            made = await self.client.create(JOBS, job)
        except StatusError as error:
            if not is_already_exists(error):
                self.record(cron_job, WARNING, "FailedCreate", f"Error creating job: {error}")
                raise
            made = await self.client.get(JOBS, meta.name_of(job), meta.namespace_of(job))
            return made if meta.is_controlled_by(made, cron_job) else None
        self.record(cron_job, NORMAL, "SuccessfulCreate", f"Created job {meta.name_of(made)}")
        return made

    async def _delete(self, cron_job: Object, job: Object) -> None:
        name = meta.name_of(job)
        try:
            await self.client.delete(
                JOBS, name, meta.namespace_of(job), uid=meta.uid_of(job), propagation="Background"
            )
        except StatusError as error:
            if is_not_found(error):
                return
            self.record(cron_job, WARNING, "FailedDelete", f"Deleted job: {error}")
            raise
        self.record(cron_job, NORMAL, "SuccessfulDelete", f"Deleted job {name}")

    async def _write_status(self, cron_job: Object, found: Active, last_schedule: str | None) -> None:
        old = cron_job.get("status") or {}
        wanted = planning.status(found, last_schedule)
        if wanted != old:
            await self.client.update(CRON_JOBS, {**cron_job, "status": wanted}, "status")
        for name, condition in found.completed:
            text = f"Saw completed job: {name}, condition: {condition}"
            self.record(cron_job, NORMAL, "SawCompletedJob", text)
