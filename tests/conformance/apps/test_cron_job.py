"""test/e2e/apps/cronjob.go: what happens to jobs

A cron job's last time is set back, so that its first job is due at once and only the second waits for the minute to
turn.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.conformance.client import Client, Resource
from tests.conformance.workload import SLEEP, template
from tests.e2e.conftest import until

Object = dict[str, Any]
MINUTE_S = 60.0
SOON_S = 3.0
LONG_AGO = "2026-01-01T00:00:00Z"
NOT_YET = {"status": {"lastScheduleTime": LONG_AGO}}


def cron_jobs(client: Client, namespace: str) -> Resource:
    return client.of("batch/v1", "cronjobs", "CronJob", namespace)


def make(client: Client, namespace: str, name: str, policy: str, **spec: Any) -> None:
    of = cron_jobs(client, namespace)
    job = {"spec": {"template": template({}, SLEEP, restartPolicy="OnFailure")}}
    made = {"schedule": "*/1 * * * ?", "concurrencyPolicy": policy, "jobTemplate": job, **spec}
    of.create({"metadata": {"name": name}, "spec": made})
    of.patch(name, NOT_YET, "merge", "status")


def active(client: Client, namespace: str, name: str) -> set[str]:
    """The jobs that the cron job's status names; each must be there, without an end."""
    status = cron_jobs(client, namespace).get(name).get("status") or {}
    names = {each["name"] for each in status.get("active") or ()}
    return names if names <= unfinished(client, namespace) else set()


def unfinished(client: Client, namespace: str) -> set[str]:
    found = client.of("batch/v1", "jobs", "Job", namespace).list()
    return {
        job["metadata"]["name"]
        for job in found
        if "deletionTimestamp" not in job["metadata"] and not (job.get("status") or {}).get("completionTime")
    }


def test_suspended(client: Client, namespace: str) -> None:
    """[sig-apps] CronJob should not schedule jobs when suspended"""
    make(client, namespace, "suspended", "Allow", suspend=True)
    time.sleep(SOON_S)
    assert active(client, namespace, "suspended") == set()
    assert client.of("batch/v1", "jobs", "Job", namespace).list() == []
    cron_jobs(client, namespace).patch("suspended", {"spec": {"suspend": False}})
    until("it is due", lambda: len(active(client, namespace, "suspended")) == 1)


@pytest.mark.slow
def test_concurrency(client: Client, namespace: str) -> None:
    """[sig-apps] CronJob should schedule multiple jobs concurrently · should not schedule new jobs when
    ForbidConcurrent · should replace jobs when ReplaceConcurrent
    """
    until("a minute that is young", lambda: time.time() % MINUTE_S < MINUTE_S - 2 * SOON_S)
    first: dict[str, str] = {}
    for policy in ("Allow", "Forbid", "Replace"):
        name = policy.lower()
        make(client, namespace, name, policy)
        until("its first job", lambda name=name: len(active(client, namespace, name)) == 1)
        (first[policy],) = active(client, namespace, name)

    def now(policy: str) -> set[str]:
        return active(client, namespace, policy.lower())

    until("two at once", lambda: len(now("Allow")) == 2, MINUTE_S + 10)
    assert first["Allow"] in now("Allow")
    until("a replacement", lambda: len(now("Replace")) == 1 and first["Replace"] not in now("Replace"))
    jobs = client.of("batch/v1", "jobs", "Job", namespace)
    until("the replaced is gone", lambda: not jobs.exists(first["Replace"]))
    time.sleep(SOON_S)
    assert now("Forbid") == {first["Forbid"]}
    assert {each for each in unfinished(client, namespace) if each.startswith("forbid")} == {first["Forbid"]}
