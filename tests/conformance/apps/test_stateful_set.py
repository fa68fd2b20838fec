"""test/e2e/apps/statefulset.go: what happens to pods"""

from __future__ import annotations

from typing import Any

from tests.conformance.client import Client, Resource
from tests.conformance.workload import execute, is_ready, pod_spec, pods_of, running, settled, workload
from tests.e2e.conftest import Cluster, until

Object = dict[str, Any]
LABEL = {"foo": "bar"}
SELECTOR = "foo=bar"
READY_IF = "/data/ready"


def make_set(client: Client, namespace: str, replicas: int, probed: bool = False, **spec: Any) -> Resource:
    """A set named ss; `probed` pods are ready while their file exists."""
    of = client.of("apps/v1", "statefulsets", "StatefulSet", namespace)
    services = client.of("v1", "services", "Service", namespace)
    port = {"port": 80, "name": "http", "protocol": "TCP"}
    services.create(
        {"metadata": {"name": "test"}, "spec": {"clusterIP": "None", "selector": LABEL, "ports": [port]}}
    )
    made = workload("ss", replicas, LABEL, serviceName="test", **spec)
    if probed:
        pod = made["spec"]["template"]["spec"]
        pod["volumes"] = [{"name": "data", "emptyDir": {}}]
        pod["containers"][0] |= {
            "command": ["sh", "-c", f"touch {READY_IF}; trap exit TERM; sleep 3600 & wait"],
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            "readinessProbe": {
                "exec": {"command": ["test", "-e", READY_IF]},
                "periodSeconds": 1,
                "failureThreshold": 1,
            },
        }
    of.create(made)
    return of


def up(client: Client, namespace: str, count: int) -> dict[str, Object]:
    return {pod["metadata"]["name"]: pod for pod in running(client, namespace, SELECTOR, count)}


def break_probe(client: Client, cluster: Cluster, namespace: str, *names: str) -> None:
    for name in names:
        execute(cluster, namespace, name, "rm", READY_IF)
    of = client.of("v1", "pods", "Pod", namespace)
    for name in names:
        settled(of, name, lambda pod: not is_ready(pod))
    sets = client.of("apps/v1", "statefulsets", "StatefulSet", namespace)
    settled(sets, "ss", lambda obj: not obj["status"].get("readyReplicas"))  # its loop knows as well


def mend_probe(cluster: Cluster, namespace: str, *names: str) -> None:
    for name in names:
        execute(cluster, namespace, name, "touch", READY_IF)


def revision(pod: Object) -> str:
    return str(pod["metadata"]["labels"]["controller-revision-hash"])


def set_image(of: Resource, image: str, **strategy: Any) -> Object:
    def edit(obj: Object) -> None:
        obj["spec"]["template"]["spec"]["containers"][0]["image"] = image
        if strategy:
            obj["spec"]["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": strategy}

    of.change("ss", edit)
    return settled(
        of, "ss", lambda obj: obj["status"].get("observedGeneration", 0) >= obj["metadata"]["generation"]
    )


def revisions_of(client: Client, namespace: str) -> dict[str, str]:
    return {pod["metadata"]["name"]: revision(pod) for pod in pods_of(client, namespace, SELECTOR)}


def rolled(client: Client, namespace: str, wanted: dict[str, str]) -> dict[str, Object]:
    until(f"revisions {wanted}", lambda: revisions_of(client, namespace) == wanted)
    return up(client, namespace, len(wanted))


def test_rolling_update_and_roll_back(client: Client, namespace: str) -> None:
    """[sig-apps] StatefulSet … should perform rolling updates and roll backs of template modifications"""
    of = make_set(client, namespace, 3)
    pods = up(client, namespace, 3)
    found = settled(of, "ss", lambda obj: obj["status"].get("currentRevision"))
    first = found["status"]["currentRevision"]
    assert found["status"]["updateRevision"] == first
    assert {revision(pod) for pod in pods.values()} == {first}
    second = set_image(of, "new")["status"]["updateRevision"]
    assert second != first
    assert of.get("ss")["status"]["currentRevision"] == first
    names = ["ss-0", "ss-1", "ss-2"]
    pods = rolled(client, namespace, dict.fromkeys(names, second))
    assert {pod["spec"]["containers"][0]["image"] for pod in pods.values()} == {"new"}
    settled(of, "ss", lambda obj: obj["status"]["currentRevision"] == second)
    back = set_image(of, "busybox")
    assert back["status"]["currentRevision"] == second
    assert back["status"]["updateRevision"] == first
    rolled(client, namespace, dict.fromkeys(names, first))
    settled(of, "ss", lambda obj: obj["status"]["currentRevision"] == first)


def test_canary_and_phased_update(client: Client, namespace: str) -> None:
    """[sig-apps] StatefulSet … should perform canary updates and phased rolling updates of template
    modifications
    """
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"partition": 3}}
    of = make_set(client, namespace, 3, updateStrategy=rolling)
    up(client, namespace, 3)
    first = settled(of, "ss", lambda obj: obj["status"].get("currentRevision"))["status"]["currentRevision"]
    found = set_image(of, "new")
    second = found["status"]["updateRevision"]
    assert second != first
    assert set(revisions_of(client, namespace).values()) == {first}
    set_image(of, "new", partition=2)
    rolled(client, namespace, {"ss-0": first, "ss-1": first, "ss-2": second})
    pods = client.of("v1", "pods", "Pod", namespace)
    for name in ("ss-0", "ss-2"):
        pods.delete(name)
    pods_now = rolled(client, namespace, {"ss-0": first, "ss-1": first, "ss-2": second})
    assert pods_now["ss-0"]["spec"]["containers"][0]["image"] == "busybox"
    assert pods_now["ss-2"]["spec"]["containers"][0]["image"] == "new"
    for partition in (1, 0):
        set_image(of, "new", partition=partition)
        rolled(
            client,
            namespace,
            {f"ss-{number}": second if number >= partition else first for number in range(3)},
        )
    settled(of, "ss", lambda obj: obj["status"]["currentRevision"] == second)


def test_ordered_scaling_halts(client: Client, cluster: Cluster, namespace: str) -> None:
    """[sig-apps] StatefulSet … Scaling should happen in predictable order and halt if any stateful
    pod is unhealthy
    """
    pods = client.of("v1", "pods", "Pod", namespace)
    version = pods.listed(labelSelector=SELECTOR)["metadata"]["resourceVersion"]
    of = make_set(client, namespace, 1, probed=True)
    assert of.get("ss")["spec"]["podManagementPolicy"] == "OrderedReady"
    up(client, namespace, 1)
    break_probe(client, cluster, namespace, "ss-0")
    of.change("ss", lambda obj: obj["spec"].update(replicas=3))
    settled(of, "ss", lambda obj: obj["status"].get("observedGeneration") == obj["metadata"]["generation"])
    assert [pod["metadata"]["name"] for pod in pods_of(client, namespace, SELECTOR)] == ["ss-0"]
    mend_probe(cluster, namespace, "ss-0")
    up(client, namespace, 3)
    with pods.watch(resourceVersion=version, labelSelector=SELECTOR) as events:
        for number in range(3):
            events.until("ADDED", lambda obj, number=number: obj["metadata"]["name"] == f"ss-{number}")
    version = pods.listed(labelSelector=SELECTOR)["metadata"]["resourceVersion"]
    break_probe(client, cluster, namespace, "ss-0", "ss-1", "ss-2")
    of.change("ss", lambda obj: obj["spec"].update(replicas=0))
    settled(of, "ss", lambda obj: obj["status"].get("observedGeneration") == obj["metadata"]["generation"])
    assert len(pods_of(client, namespace, SELECTOR)) == 3
    # The last first: the lowest that is unhealthy need not become healthy to be taken away.
    mend_probe(cluster, namespace, "ss-2", "ss-1", "ss-0")
    until("none", lambda: pods.list(labelSelector=SELECTOR) == [])
    with pods.watch(resourceVersion=version, labelSelector=SELECTOR) as events:
        for number in (2, 1, 0):
            events.until("DELETED", lambda obj, number=number: obj["metadata"]["name"] == f"ss-{number}")


def test_burst_scaling(client: Client, cluster: Cluster, namespace: str) -> None:
    """[sig-apps] StatefulSet … Burst scaling should run to completion even with unhealthy pods"""
    of = make_set(client, namespace, 1, probed=True, podManagementPolicy="Parallel")
    up(client, namespace, 1)
    break_probe(client, cluster, namespace, "ss-0")
    of.change("ss", lambda obj: obj["spec"].update(replicas=3))
    until("three pods", lambda: len(pods_of(client, namespace, SELECTOR)) == 3)
    mend_probe(cluster, namespace, "ss-0")
    up(client, namespace, 3)
    break_probe(client, cluster, namespace, "ss-0", "ss-1", "ss-2")
    of.change("ss", lambda obj: obj["spec"].update(replicas=0))
    until("none", lambda: pods_of(client, namespace, SELECTOR) == [])


def test_recreates_failed_pod(client: Client, namespace: str) -> None:
    """[sig-apps] StatefulSet … Should recreate evicted statefulset"""
    pods = client.of("v1", "pods", "Pod", namespace)
    node = client.of("v1", "nodes", "Node").list()[0]["metadata"]["name"]
    port = [{"containerPort": 21017, "hostPort": 21017, "name": "conflict", "protocol": "TCP"}]
    blocking = pod_spec(nodeName=node)
    blocking["containers"][0]["ports"] = port
    pods.create({"metadata": {"name": "test-pod"}, "spec": blocking})
    settled(pods, "test-pod", is_ready)
    of = client.of("apps/v1", "statefulsets", "StatefulSet", namespace)
    made = workload("ss", 1, LABEL, serviceName="test")
    made["spec"]["template"]["spec"] |= {"nodeName": node}
    made["spec"]["template"]["spec"]["containers"][0]["ports"] = port
    with pods.watch(fieldSelector="metadata.name=ss-0") as events:
        of.create(made)
        uid = events.until("DELETED")["metadata"]["uid"]
    pods.delete("test-pod", gracePeriodSeconds=0)

    def runs_again() -> bool:
        found = pods.list(fieldSelector="metadata.name=ss-0,status.phase=Running")
        return [pod["metadata"]["uid"] for pod in found] not in ([], [uid])

    until("another ss-0 runs", runs_again)
