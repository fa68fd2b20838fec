"""test/e2e/common/node: probes and hooks (container_probe.go, lifecycle_hook.go)"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from tests.conformance.client import Client, Resource
from tests.conformance.workload import condition, logs, pod_spec, settled
from tests.e2e.conftest import Cluster, until

Object = dict[str, Any]

PROBES: dict[str, tuple[Callable[[], Object], bool]] = {
    "exec, stays": (lambda: {"exec": {"command": ["cat", "/data/health"]}}, False),
    "exec, restarts": (lambda: {"exec": {"command": ["cat", "/data/nothing"]}}, True),
    "http, stays": (lambda: {"httpGet": {"path": "/", "port": 8080}}, False),
    "http, restarts": (lambda: {"httpGet": {"path": "/nothing", "port": 8080}}, True),
    "tcp, stays": (lambda: {"tcpSocket": {"port": 8080}}, False),
}


@pytest.mark.parametrize(("make", "restarts"), PROBES.values(), ids=PROBES.keys())
def test_liveness(client: Client, namespace: str, make: Callable[[], Object], restarts: bool) -> None:
    """[sig-node] Probing container should (*not*) be restarted with a … liveness probe"""
    of = client.of("v1", "pods", "Pod", namespace)
    made = pod_spec(["sh", "-c", "touch /data/health; exec python3 -m http.server 8080"])
    probe = {"initialDelaySeconds": 1, "periodSeconds": 1, "failureThreshold": 2, **make()}
    made["containers"][0] |= {
        "livenessProbe": probe,
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    made["volumes"] = [{"name": "data", "emptyDir": {}}]
    of.create({"metadata": {"name": "probed"}, "spec": made})

    def count(obj: Object) -> int:
        return max((each["restartCount"] for each in obj["status"].get("containerStatuses", ())), default=0)

    if restarts:
        settled(of, "probed", lambda obj: count(obj) >= 1)
        return
    settled(of, "probed", lambda obj: condition(obj, "Ready").get("status") == "True")
    with pytest.raises(AssertionError, match="not within"):
        settled(of, "probed", lambda obj: count(obj) > 0, timeout_s=3)


def test_readiness_that_fails(client: Client, namespace: str) -> None:
    """[sig-node] Probing container with readiness probe that fails should never be ready and never restart"""
    of = client.of("v1", "pods", "Pod", namespace)
    made = pod_spec()
    made["containers"][0]["readinessProbe"] = {"exec": {"command": ["false"]}, "periodSeconds": 1}
    of.create({"metadata": {"name": "unready"}, "spec": made})
    settled(of, "unready", lambda obj: obj["status"]["phase"] == "Running")
    with pytest.raises(AssertionError, match="not within"):
        settled(of, "unready", lambda obj: condition(obj, "Ready").get("status") == "True", timeout_s=2)
    assert of.get("unready")["status"]["containerStatuses"][0]["restartCount"] == 0


def test_readiness_after_a_delay(client: Client, namespace: str) -> None:
    """[sig-node] Probing container with readiness probe should not be ready before initial delay and never
    restart
    """
    of = client.of("v1", "pods", "Pod", namespace)
    made = pod_spec()
    probe = {"exec": {"command": ["true"]}, "initialDelaySeconds": 2, "periodSeconds": 1}
    made["containers"][0]["readinessProbe"] = probe
    of.create({"metadata": {"name": "delayed"}, "spec": made})
    found = settled(of, "delayed", lambda obj: condition(obj, "Ready").get("status") == "True")
    (status,) = found["status"]["containerStatuses"]
    started = datetime.fromisoformat(status["state"]["running"]["startedAt"])
    ready = datetime.fromisoformat(condition(found, "Ready")["lastTransitionTime"])
    assert (ready - started).total_seconds() >= 2
    assert status["restartCount"] == 0


def serving(client: Client, namespace: str, name: str) -> str:
    """A pod that answers every request and says in its log what was asked; its address."""
    of: Resource = client.of("v1", "pods", "Pod", namespace)
    of.create({"metadata": {"name": name}, "spec": pod_spec(["python3", "-u", "-m", "http.server", "8080"])})
    found = settled(of, name, lambda obj: condition(obj, "Ready").get("status") == "True")
    until("it listens", lambda: "Serving HTTP" in logs(client, namespace, name))
    return str(found["status"]["podIP"])


@pytest.mark.parametrize("moment", ["postStart", "preStop"])
@pytest.mark.parametrize("how", ["exec", "httpGet"])
def test_lifecycle_hooks(client: Client, cluster: Cluster, namespace: str, moment: str, how: str) -> None:
    """[sig-node] Container Lifecycle Hook when create a pod with lifecycle hook should execute poststart, prestop
    exec, http hook properly
    """
    address = serving(client, namespace, "handler")
    of = client.of("v1", "pods", "Pod", namespace)
    url = f"http://{address}:8080/echo?msg={moment}"
    fetch = f"import urllib.request as r; r.urlopen('http://{address}:8080/?msg={moment}')"
    hook: Object = {
        "exec": {"exec": {"command": ["python3", "-c", fetch]}},
        "httpGet": {"httpGet": {"host": address, "port": 8080, "path": "/?msg=" + moment}},
    }[how]
    made = pod_spec()
    made["containers"][0]["lifecycle"] = {moment: hook}
    made["terminationGracePeriodSeconds"] = 15
    of.create({"metadata": {"name": "hooked"}, "spec": made})
    settled(of, "hooked", lambda obj: condition(obj, "Ready").get("status") == "True")
    if moment == "preStop":
        of.delete("hooked", gracePeriodSeconds=15)
        until("it is gone", lambda: not of.exists("hooked"))
    until(url, lambda: f"msg={moment}" in logs(client, namespace, "handler"))
