"""Workloads whose pods run commands that every host has, where upstream's need an image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests import kubectl
from tests.conformance.client import Client, Resource
from tests.e2e.conftest import Cluster, until

Object = dict[str, Any]

SLEEP = ["sh", "-c", "trap exit TERM; sleep 3600 & wait"]
SERVE = ["python3", "-m", "http.server", "8080"]


def pod_spec(
    command: list[str] | None = None, name: str = "main", image: str = "busybox", **spec: Any
) -> Object:
    container: Object = {"name": name, "image": image, "command": command or SLEEP}
    return {"terminationGracePeriodSeconds": 1, "containers": [container], **spec}


def template(labels: Object, command: list[str] | None = None, **spec: Any) -> Object:
    return {"metadata": {"labels": labels}, "spec": pod_spec(command, **spec)}


def workload(name: str, replicas: int, labels: Object | None = None, **spec: Any) -> Object:
    """A deployment or a set of any kind."""
    labels = labels or {"name": name}
    made = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template(labels), **spec}
    return {"metadata": {"name": name, "labels": labels}, "spec": made}


def pods_of(client: Client, namespace: str, selector: str) -> list[Object]:
    found = client.of("v1", "pods", "Pod", namespace).list(labelSelector=selector)
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def is_ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    return any((each["type"], each["status"]) == ("Ready", "True") for each in conditions)


def running(
    client: Client, namespace: str, selector: str, count: int, timeout_s: float = 60.0
) -> list[Object]:
    """As soon as so many pods, and no more, are ready."""

    def check() -> list[Object] | None:
        found = pods_of(client, namespace, selector)
        return found if len(found) == count and all(map(is_ready, found)) else None

    return until(f"{count} ready pods of {selector}", check, timeout_s) or []


def settled(of: Resource, name: str, check: Callable[[Object], Any], timeout_s: float = 60.0) -> Object:
    """The object once its status is as wanted."""
    seen: Object = {}

    def look() -> bool:
        seen.clear()
        seen.update(of.get(name))
        return bool(check(seen))

    try:
        until(f"{of.plural} {name}", look, timeout_s)
    except AssertionError as error:
        raise AssertionError(f"{error}; status {seen.get('status')}") from None
    return seen


def condition(obj: Object, kind: str) -> Object:
    conditions = obj.get("status", {}).get("conditions") or ()
    return next((each for each in conditions if each["type"] == kind), {})


def execute(cluster: Cluster, namespace: str, pod: str, *command: str, container: str = "") -> str:
    """What the command prints in the pod."""
    runner = kubectl.Kubectl(
        kubectl.found()[-1], cluster.kubeconfig, cluster.home / "kubectl-cache", namespace
    )
    chosen = ("-c", container) if container else ()
    return runner("exec", pod, *chosen, "--", *command)


def logs(client: Client, namespace: str, pod: str) -> str:
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
    code, _, content = client.raw("GET", path)
    assert code == 200, content
    return content.decode()


def finished(
    client: Client, namespace: str, pod: str, phase: str = "Succeeded", timeout_s: float = 60.0
) -> Object:
    of = client.of("v1", "pods", "Pod", namespace)
    found = settled(of, pod, lambda obj: obj["status"].get("phase") in ("Succeeded", "Failed"), timeout_s)
    assert found["status"]["phase"] == phase, found["status"]
    return found
