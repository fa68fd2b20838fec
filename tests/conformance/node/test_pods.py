"""test/e2e/common/node/pods.go, test/e2e/node/pods.go"""

from __future__ import annotations

from typing import Any

from tests.conformance.client import Client, Resource
from tests.conformance.workload import condition, finished, is_ready, logs, pod_spec, settled
from tests.e2e.conftest import until

Object = dict[str, Any]
ONE_S = {"gracePeriodSeconds": 1}


def pods_in(client: Client, namespace: str) -> Resource:
    return client.of("v1", "pods", "Pod", namespace)


def pod(name: str, labels: Object | None = None, **spec: Any) -> Object:
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": pod_spec(**spec)}


def running(of: Resource, name: str) -> Object:
    return settled(of, name, lambda obj: obj["status"].get("phase") == "Running")


def test_host_ip(client: Client, namespace: str) -> None:
    """[sig-node] Pods should get a host IP"""
    of = pods_in(client, namespace)
    of.create(pod("pod-hostip"))
    found = settled(of, "pod-hostip", lambda obj: obj["status"].get("hostIP"))
    assert found["status"]["hostIPs"][0]["ip"] == found["status"]["hostIP"]


def test_submitted_and_removed(client: Client, namespace: str) -> None:
    """[sig-node] Pods should be submitted and removed"""
    of = pods_in(client, namespace)
    assert of.list(labelSelector="time=now") == []
    with of.watch(labelSelector="time=now") as events:
        of.create(pod("pod-submit-remove", {"name": "foo", "time": "now"}))
        events.until("ADDED")
        running(of, "pod-submit-remove")
        of.delete("pod-submit-remove", gracePeriodSeconds=30)
        events.until("MODIFIED", lambda obj: obj["metadata"].get("deletionTimestamp"))
        last = events.until("DELETED")
    assert last["metadata"]["deletionTimestamp"]
    assert last["spec"]["terminationGracePeriodSeconds"]
    assert of.list(labelSelector="time=now") == []


def test_updated(client: Client, namespace: str) -> None:
    """[sig-node] Pods should be updated"""
    of = pods_in(client, namespace)
    of.create(pod("pod-update", {"name": "foo", "time": "now"}))
    running(of, "pod-update")
    assert len(of.list(labelSelector="time=now")) == 1
    of.change("pod-update", lambda obj: obj["metadata"]["labels"].update(time="updated"))
    running(of, "pod-update")
    assert len(of.list(labelSelector="time=updated")) == 1


def test_active_deadline(client: Client, namespace: str) -> None:
    """[sig-node] Pods should allow activeDeadlineSeconds to be updated"""
    of = pods_in(client, namespace)
    of.create(pod("pod-deadline"))
    running(of, "pod-deadline")
    of.change("pod-deadline", lambda obj: obj["spec"].update(activeDeadlineSeconds=1))
    found = finished(client, namespace, "pod-deadline", "Failed")
    assert found["status"]["reason"] == "DeadlineExceeded"


def test_service_variables(client: Client, namespace: str) -> None:
    """[sig-node] Pods should contain environment variables for services"""
    of = pods_in(client, namespace)
    services = client.of("v1", "services", "Service", namespace)
    port = {"port": 8765, "targetPort": 8080, "protocol": "TCP"}
    made = services.create(
        {"metadata": {"name": "fooservice"}, "spec": {"ports": [port], "selector": {"name": "srv"}}}
    )
    address = made["spec"]["clusterIP"]
    of.create(pod("client-envvars", command=["sh", "-c", "env"], restartPolicy="Never"))
    finished(client, namespace, "client-envvars")
    printed = logs(client, namespace, "client-envvars").splitlines()
    for line in (
        f"FOOSERVICE_SERVICE_HOST={address}",
        "FOOSERVICE_SERVICE_PORT=8765",
        f"FOOSERVICE_PORT=tcp://{address}:8765",
        "FOOSERVICE_PORT_8765_TCP_PORT=8765",
        "FOOSERVICE_PORT_8765_TCP_PROTO=tcp",
        f"FOOSERVICE_PORT_8765_TCP=tcp://{address}:8765",
        f"FOOSERVICE_PORT_8765_TCP_ADDR={address}",
    ):
        assert line in printed


def test_collection(client: Client, namespace: str) -> None:
    """[sig-node] Pods should delete a collection of pods"""
    of = pods_in(client, namespace)
    for number in (1, 2, 3):
        of.create(pod(f"test-pod-{number}", {"type": "Testing"}, restartPolicy="Never"))
    for number in (1, 2, 3):
        settled(of, f"test-pod-{number}", is_ready)
    body = {"apiVersion": "v1", "kind": "DeleteOptions", **ONE_S}
    client.call("DELETE", of.path, body, query={"labelSelector": "type=Testing"})
    until("none is left", lambda: of.list(labelSelector="type=Testing") == [])


def test_lifecycle_and_status(client: Client, dynamic: Client, namespace: str) -> None:
    """[sig-node] Pods should run through the lifecycle of Pods and PodStatus"""
    of = pods_in(client, namespace)
    selector = {"labelSelector": "test-pod-static=true"}
    version = of.everywhere().listed(**selector)["metadata"]["resourceVersion"]
    of.create(pod("pod-test", {"test-pod-static": "true"}))
    with of.watch(resourceVersion=version, **selector) as events:
        events.until("MODIFIED", lambda obj: obj["status"]["phase"] == "Running")
    before = settled(of, "pod-test", is_ready)["metadata"]["resourceVersion"]
    patch = {
        "metadata": {"creationTimestamp": None, "labels": {"test-pod": "patched"}},
        "spec": {
            "containers": [{"name": "main", "image": "other", "resources": {}}],
            "terminationGracePeriodSeconds": 1,
        },
        "status": {},
    }
    of.patch("pod-test", patch, "strategic")
    with of.watch(resourceVersion=before, **selector) as events:
        events.until("MODIFIED", lambda obj: obj["metadata"]["labels"]["test-pod"] == "patched")
    found = of.get("pod-test")
    assert found["spec"]["containers"][0]["image"] == "other"
    settled(of, "pod-test", is_ready)
    dynamic_pods = pods_in(dynamic, namespace)

    def unready(obj: Object) -> None:
        for each in obj["status"]["conditions"]:
            if each["type"] in ("Ready", "ContainersReady"):
                each["status"] = "False"

    shown = dynamic_pods.get("pod-test", "status")
    assert shown["kind"] == "Pod"
    updated = of.change("pod-test", unready, "status")
    assert {condition(updated, kind)["status"] for kind in ("Ready", "ContainersReady")} == {"False"}
    with of.watch(resourceVersion=updated["metadata"]["resourceVersion"], **selector) as events:
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **ONE_S}
        client.call("DELETE", of.path, body, query=selector)
        events.until("DELETED")
    assert not of.exists("pod-test")


def test_status_patched(client: Client, namespace: str) -> None:
    """[sig-node] Pods should patch a pod status"""
    of = pods_in(client, namespace)
    of.create(pod("pod-patched", {"pod": "patched"}, restartPolicy="Never"))
    running(of, "pod-patched")
    status = {"message": "Patched by e2e test", "reason": "E2E"}
    patched = of.patch("pod-patched", {"status": status}, "strategic", "status")
    assert (patched["status"]["message"], patched["status"]["reason"]) == ("Patched by e2e test", "E2E")


def test_quality_of_service(client: Client, namespace: str) -> None:
    """[sig-node] Pods Extended Pods Set QOS Class should be set on Pods with matching resource requests and limits
    for memory and cpu
    """
    of = pods_in(client, namespace)
    made = pod("pod-qos-class")
    amounts = {"cpu": "100m", "memory": "100Mi"}
    made["spec"]["containers"][0]["resources"] = {"requests": amounts, "limits": amounts}
    of.create(made)
    assert of.get("pod-qos-class")["status"]["qosClass"] == "Guaranteed"


def test_ephemeral_containers(client: Client, namespace: str) -> None:
    """[sig-node] Ephemeral Containers will start an ephemeral container in an existing pod · should update the
    ephemeral containers in an existing pod
    """
    of = pods_in(client, namespace)
    of.create(pod("ephemeral-containers-target"))
    running(of, "ephemeral-containers-target")
    first = {
        "name": "debugger",
        "image": "busybox",
        "command": ["sh", "-c", "echo 'polo'; sleep 1000"],
        "stdin": True,
        "tty": True,
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
    }
    patch = {"spec": {"ephemeralContainers": [first]}}
    of.patch("ephemeral-containers-target", patch, "strategic", "ephemeralcontainers")

    def runs(name: str) -> Any:
        def check(obj: Object) -> bool:
            statuses = obj["status"].get("ephemeralContainerStatuses", ())
            return any(each["name"] == name and "running" in each["state"] for each in statuses)

        return check

    settled(of, "ephemeral-containers-target", runs("debugger"))
    path = f"{of.path}/ephemeral-containers-target/log?container=debugger"
    until("its output", lambda: b"polo" in client.raw("GET", path)[2])

    def add(obj: Object) -> None:
        obj["spec"]["ephemeralContainers"].append({**first, "name": "debugger2"})

    of.change("ephemeral-containers-target", add, "ephemeralcontainers")
    settled(of, "ephemeral-containers-target", runs("debugger2"))
    assert len(of.get("ephemeral-containers-target")["spec"]["ephemeralContainers"]) == 2


def test_logs_over_websockets(client: Client, namespace: str) -> None:
    """[sig-node] Pods should support retrieving logs from the container over websockets"""
    of = pods_in(client, namespace)
    command = ["sh", "-c", "echo container is alive; sleep 10000"]
    of.create(pod("pod-logs-websocket", command=command))
    settled(of, "pod-logs-websocket", is_ready)
    path = f"{of.path}/pod-logs-websocket/log?container=main"

    def read() -> bytes:
        return b"".join(client.websocket(path, "binary.k8s.io"))

    until("the log", lambda: read() == b"container is alive\n")


def test_exec_over_websockets(client: Client, namespace: str) -> None:
    """[sig-node] Pods should support remote command execution over websockets"""
    of = pods_in(client, namespace)
    of.create(pod("pod-exec-websocket"))
    settled(of, "pod-exec-websocket", is_ready)
    words = "&".join(f"command={word}" for word in ("echo", "remote execution test"))
    path = f"{of.path}/pod-exec-websocket/exec?container=main&stderr=1&stdout=1&{words.replace(' ', '%20')}"
    messages = list(client.websocket(path, "channel.k8s.io"))
    printed = b"".join(each[1:] for each in messages if each[:1] == b"\x01")
    assert b"remote execution test" in printed
