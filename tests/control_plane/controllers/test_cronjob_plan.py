"""Which run of a cron job is due, and what is kept of the past."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.api.meta import rfc3339
from control_plane.controllers.cronjob import plan, schedule
from tests.control_plane.controllers.objects import NOW, Obj

HOUR_S = 3600.0
TODAY = NOW // 86400 * 86400  # midnight


def cron_job(text: str = "0 * * * *", status: Obj | None = None, age_s: float = 0, **spec: Any) -> Obj:
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {
            "name": "tick",
            "namespace": "default",
            "uid": "uid-tick",
            "creationTimestamp": rfc3339(TODAY - age_s),
        },
        "spec": {"schedule": text, "jobTemplate": {"spec": {}}, **spec},
        "status": status or {},
    }


def job(name: str, outcome: str = "", started_s: float = 0) -> Obj:
    conditions = [{"type": outcome, "status": "True"}] if outcome else []
    return {
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}"},
        "status": {
            "conditions": conditions,
            "startTime": rfc3339(NOW + started_s),
            "completionTime": rfc3339(NOW + started_s + 5) if outcome == "Complete" else None,
        },
    }


@pytest.mark.parametrize(
    ("obj", "now", "expected"),
    [
        pytest.param(cron_job(), TODAY + 60, plan.Due(None), id="not yet"),
        pytest.param(cron_job(), TODAY + HOUR_S, plan.Due(TODAY + HOUR_S), id="on the minute"),
        pytest.param(cron_job(), TODAY + 3.5 * HOUR_S, plan.Due(TODAY + 3 * HOUR_S), id="the latest of three"),
        pytest.param(
            cron_job(status={"lastScheduleTime": rfc3339(TODAY + HOUR_S)}), TODAY + 1.5 * HOUR_S,
            plan.Due(None), id="already run",
        ),
        pytest.param(
            cron_job(age_s=300 * HOUR_S), TODAY + 60, plan.Due(TODAY, True), id="many missed"
        ),
        pytest.param(
            cron_job(age_s=300 * HOUR_S, startingDeadlineSeconds=3 * 3600), TODAY + 60, plan.Due(TODAY),
            id="a deadline forgets them",
        ),
        pytest.param(
            cron_job(startingDeadlineSeconds=60), TODAY + HOUR_S + 120, plan.Due(None), id="past the deadline"
        ),
        pytest.param(
            cron_job("0,1 0 * * *", age_s=10 * 24 * HOUR_S + 60), TODAY - HOUR_S,
            plan.Due(TODAY - 24 * HOUR_S + 60, True), id="irregular",
        ),
        pytest.param(
            cron_job("@every 7m"), TODAY + 100 * 60, plan.Due(TODAY + 98 * 60), id="every, from the creation"
        ),
    ],
)  # fmt: skip
def test_due(obj: Obj, now: float, expected: plan.Due) -> None:
    assert plan.due(obj, schedule.parse(obj["spec"]["schedule"]), now) == expected


def test_a_run_is_known_by_its_minute() -> None:
    made = plan.make_job(cron_job(), TODAY + HOUR_S)
    assert made["metadata"]["name"] == f"tick-{int(TODAY + HOUR_S) // 60}"
    assert made["metadata"]["annotations"] == {plan.SCHEDULED_AT: rfc3339(TODAY + HOUR_S)}
    assert made["metadata"]["ownerReferences"][0]["controller"] is True


def test_active_jobs_are_brought_up_to_date() -> None:
    references = [{"name": name, "uid": f"uid-{name}"} for name in ("runs", "done", "broke", "unseen")]
    jobs = [job("runs"), job("done", "Complete"), job("broke", "Failed"), job("stranger")]
    found = plan.active(cron_job(status={"active": references}), jobs)
    assert [each["name"] for each in found.references] == ["runs", "unseen"]
    assert found.completed == [("done", "Complete"), ("broke", "Failed")]
    assert found.unexpected == ["stranger"]
    assert [each["name"] for each in found.unseen] == ["unseen"]
    assert found.last_successful == rfc3339(NOW + 5)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({}, [], id="no limits"),
        pytest.param({"successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 1}, ["c0", "c1"], id="one"),
        pytest.param(
            {"successfulJobsHistoryLimit": 0, "failedJobsHistoryLimit": 0}, ["c0", "c1", "c2", "f0"], id="none"
        ),
    ],
)  # fmt: skip
def test_history(spec: Obj, expected: list[str]) -> None:
    jobs = [job("c2", "Complete", 2), job("c0", "Complete", 0), job("c1", "Complete", 1)]
    jobs += [job("f0", "Failed"), job("running")]
    found = plan.history_to_delete(cron_job(**spec), jobs)
    assert sorted(each["metadata"]["name"] for each in found) == expected


@pytest.mark.parametrize(
    ("deadline_s", "late_s", "expected"), [(None, 9999, False), (60, 30, False), (60, 61, True)]
)
def test_too_late(deadline_s: int | None, late_s: float, expected: bool) -> None:
    assert plan.is_too_late(cron_job(startingDeadlineSeconds=deadline_s), NOW, NOW + late_s) is expected
