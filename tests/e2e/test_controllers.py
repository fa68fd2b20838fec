"""One promise of each control loop, on a whole cluster through kubectl."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import until
from tests.kubectl import Kubectl

pytestmark = pytest.mark.cluster


def names(kubectl: Kubectl, kind: str, *more: str) -> list[str]:
    return [each["metadata"]["name"] for each in kubectl.json("get", kind, *more)["items"]]


def test_a_cron_job_runs_on_schedule_and_can_be_suspended(newest: Kubectl) -> None:
    newest("create", "cronjob", "tick", "--image=x", "--schedule=@every 2s", "--", "sh", "-c", "echo tock")
    until("a job", lambda: names(newest, "jobs"))
    job = names(newest, "jobs")[0]
    newest("wait", "--for=condition=Complete", f"job/{job}", "--timeout=30s")
    assert newest("logs", f"job/{job}") == "tock\n"
    until(
        "its success is noted",
        lambda: newest.json("get", "cronjob", "tick")["status"].get("lastSuccessfulTime"),
    )
    assert "SuccessfulCreate" in newest("describe", "cronjob", "tick")
    newest("patch", "cronjob", "tick", "-p", '{"spec": {"suspend": true}}')
    newest("delete", "cronjob", "tick")
    until("its jobs are collected", lambda: not names(newest, "jobs"))
