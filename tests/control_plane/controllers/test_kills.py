"""The active controller-manager and scheduler are killed (-9) again and again while workloads come up and change,
on a real apiserver with simulated nodes; in the end everything is as it was asked for.

`python -m tests.sim.loops --kills` does the same, in memory, at each single write.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from control_plane.api import meta
from tests.control_plane.apiserver.harness import Harness, stop
from tests.control_plane.controllers.test_through_kubectl import get, until

BETWEEN_KILLS_S = 1.0
ELECTION = ("--leader-elect-lease-duration=1500ms", "--leader-elect-renew-deadline=1s")
LEASES = {"controller-manager": "kube-controller-manager", "scheduler": "kube-scheduler"}
WORKLOADS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: c, image: i}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 3
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: c, image: i}]
---
apiVersion: batch/v1
kind: Job
metadata: {name: batch}
spec:
  completions: 6
  parallelism: 2
  completionMode: Indexed
  backoffLimit: 0
  template:
    metadata: {labels: {app: batch}}
    spec:
      restartPolicy: Never
      containers: [{name: c, image: i, command: [sleep, "1"]}]
"""


class Candidates:
    """Two of a component; who is killed is replaced, as a supervisor does it."""

    def __init__(self, api: Harness, component: str, *flags: str) -> None:
        self._api = api
        self._component = component
        self._flags = flags
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._number = 0
        for _ in range(2):
            self._start()

    def kill_leader(self) -> bool:
        lease = self._api.kubectl(
            "get", "lease", "-n", "kube-system", LEASES[self._component], "-o",
            "jsonpath={.spec.holderIdentity}", check=False,
        )  # fmt: skip
        leader = self._processes.pop(lease.stdout, None)
        if leader is None:
            return False
        leader.kill()
        leader.wait()
        self._start()
        return True

    def stop(self) -> None:
        for process in self._processes.values():
            stop(process)

    def _start(self) -> None:
        self._number += 1
        name = f"{self._component}-{self._number}"
        election = (*ELECTION, "--leader-elect-retry-period=300ms", f"--leader-elect-identity={name}")
        self._processes[name] = start(self._api, self._component, name, *election, *self._flags)


def start(api: Harness, component: str, name: str, *flags: str) -> subprocess.Popen[bytes]:
    config: Path = api.directory / "pki" / "admin.kubeconfig"
    command = [sys.executable, "-m", "cluster.cli", component, f"--kubeconfig={config}", "--secure-port=0"]
    with (api.directory / f"{name}.log").open("wb") as log:
        return subprocess.Popen([*command, *flags], stdout=log, stderr=log)


@pytest.fixture
def candidates(tmp_path: Path) -> Iterator[tuple[Harness, list[Candidates]]]:
    with Harness(tmp_path) as api:
        api.create("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
        nodes = start(api, "hollow-node", "nodes", "--count=3")
        both = [
            Candidates(api, "controller-manager", "--use-service-account-credentials=false"),
            Candidates(api, "scheduler"),
        ]
        try:
            yield api, both
        finally:
            for each in both:
                each.stop()
            stop(nodes)


@contextmanager
def killing(both: list[Candidates]) -> Iterator[list[int]]:
    """Whoever leads, in turns; how many of each were killed."""
    done, killed = threading.Event(), [0, 0]

    def go_on() -> None:
        turn = 0
        while not done.wait(BETWEEN_KILLS_S):
            turn += 1
            killed[turn % 2] += both[turn % 2].kill_leader()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield killed
    finally:
        done.set()
        thread.join()


def ready(api: Harness, app: str, count: int) -> bool:
    found = [each for each in get(api, "pods", "-l", f"app={app}")["items"] if not meta.is_deleting(each)]
    return len(found) == count and all(meta.condition_is_true(each, "Ready") for each in found)


def test_kills_change_nothing_in_the_outcome(candidates: tuple[Harness, list[Candidates]]) -> None:
    api, both = candidates

    def status(what: str, name: str) -> Any:
        return get(api, what, name).get("status", {})

    with killing(both) as killed:
        api.kubectl("apply", "-f", "-", stdin=WORKLOADS)
        until("all of the deployment", lambda: ready(api, "web", 4), 60)
        until("all of the set", lambda: ready(api, "db", 3), 60)
        api.kubectl("scale", "deployment/web", "--replicas=2")
        api.kubectl("set", "env", "deployment/web", "A=b")
        api.kubectl("scale", "statefulset/db", "--replicas=1")
        until("the new revision", lambda: status("deployment", "web").get("updatedReplicas") == 2, 60)
        until("the job's end", lambda: status("job", "batch").get("completionTime"), 60)
    assert all(killed), killed
    until("two of the deployment", lambda: ready(api, "web", 2), 60)
    until("one of the set", lambda: ready(api, "db", 1), 60)
    assert [meta.name_of(each) for each in get(api, "pods", "-l", "app=db")["items"]] == ["db-0"]
    sets = get(api, "replicasets", "-l", "app=web")["items"]
    assert sorted(each["spec"]["replicas"] for each in sets) == [0, 2]
    job = status("job", "batch")
    assert (job["succeeded"], job.get("failed", 0), job["completedIndexes"]) == (6, 0, "0-5")
    ended = [each["status"]["phase"] for each in get(api, "pods", "-l", "app=batch")["items"]]
    assert ended == ["Succeeded"] * 6, "no index was run twice"
