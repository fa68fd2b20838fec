"""test/e2e/kubectl/kubectl.go: what needs no image of its own"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.conformance.client import Client
from tests.conformance.workload import SERVE, pod_spec, template
from tests.e2e.conftest import Cluster, until
from tests.kubectl import Kubectl, found, oldest_and_newest

Object = dict[str, Any]
LABELS = {"app": "agnhost", "role": "primary"}


@pytest.fixture(params=oldest_and_newest(), ids=lambda path: path.name)
def kubectl(request: pytest.FixtureRequest, cluster: Cluster, tmp_path: Path, namespace: str) -> Kubectl:
    return Kubectl(request.param, cluster.kubeconfig, tmp_path / "cache", namespace)


@pytest.fixture
def newest(cluster: Cluster, tmp_path: Path, namespace: str) -> Kubectl:
    return Kubectl(found()[-1], cluster.kubeconfig, tmp_path / "cache", namespace)


def controller(replicas: int = 1) -> str:
    spec = {"replicas": replicas, "selector": LABELS, "template": template(LABELS, SERVE)}
    return document("v1", "ReplicationController", "agnhost-primary", spec, LABELS)


def document(version: str, kind: str, name: str, spec: Object, labels: Object | None = None) -> str:
    metadata = {"name": name, "labels": labels or {}}
    return json.dumps({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})


def pause(name: str = "pause") -> str:
    return document("v1", "Pod", name, pod_spec(), {"name": name})


def runs(kubectl: Kubectl, selector: str, count: int = 1) -> list[Object]:
    def check() -> list[Object] | None:
        items = kubectl.json("get", "pods", "-l", selector)["items"]
        running = [each for each in items if each["status"].get("phase") == "Running"]
        return running if len(running) == count else None

    return until(f"{count} running pods", check, 60) or []


def test_api_versions(kubectl: Kubectl) -> None:
    """[sig-cli] Kubectl client Kubectl api-versions should check if v1 is in available api versions"""
    assert "v1" in kubectl("api-versions").split()


def test_cluster_info(kubectl: Kubectl) -> None:
    """[sig-cli] Kubectl client Kubectl cluster-info should check if Kubernetes control plane services is included
    in cluster-info"""
    assert re.search("Kubernetes control plane.*is running at", kubectl("cluster-info"))


def test_version(kubectl: Kubectl) -> None:
    """[sig-cli] Kubectl client Kubectl version should check is all data is printed"""
    version = kubectl.json("version")
    for side in ("clientVersion", "serverVersion"):
        for field in ("major", "minor", "gitCommit", "gitVersion", "goVersion", "platform", "compiler"):
            assert version[side][field], f"{side}.{field}"


def test_diff(newest: Kubectl) -> None:
    """[sig-cli] Kubectl client Kubectl diff should check if kubectl diff finds a difference for Deployments"""
    labels = {"app": "httpd"}

    def deployment(image: str) -> str:
        spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template(labels)}
        spec["template"]["spec"]["containers"][0]["image"] = image
        return document("apps/v1", "Deployment", "httpd-deployment", spec)

    newest("create", "-f", "-", input=deployment("httpd:2"))
    done = newest.run("diff", "-f", "-", input=deployment("busybox:1"))
    assert done.returncode == 1
    assert re.search(r"^-.*image: httpd:2$", done.stdout, re.M)
    assert re.search(r"^\+.*image: busybox:1$", done.stdout, re.M)


def test_describe(kubectl: Kubectl) -> None:
    """[sig-cli] Kubectl client Kubectl describe should check if kubectl describe prints relevant information for rc
    and pods"""
    ports = [{"port": 6379, "targetPort": 8080}]
    kubectl("create", "-f", "-", input=controller())
    kubectl(
        "create",
        "-f",
        "-",
        input=document("v1", "Service", "agnhost-primary", {"selector": LABELS, "ports": ports}, LABELS),
    )
    [pod] = runs(kubectl, "app=agnhost")
    told = kubectl("describe", "pod", pod["metadata"]["name"])
    for line in (
        r"Name:\s+agnhost-primary-",
        rf"Namespace:\s+{kubectl.namespace}",
        r"Node:\s+\S+",
        r"Labels:\s+app=agnhost",
        r"role=primary",
        r"Annotations:",
        r"Status:\s+Running",
        r"IP:\s+\S+",
        r"Controlled By:\s+ReplicationController/agnhost-primary",
        r"Image:\s+\S+",
        r"State:\s+Running",
        r"QoS Class:\s+BestEffort",
    ):
        assert re.search(line, told), told
    told = kubectl("describe", "rc", "agnhost-primary")
    for line in (
        r"Name:\s+agnhost-primary",
        r"Selector:\s+app=agnhost,role=primary",
        r"Replicas:\s+1 current / 1 desired",
        r"Pods Status:\s+1 Running / 0 Waiting / 0 Succeeded / 0 Failed",
        r"Pod Template:",
        r"Image:",
        r"Events:",
    ):
        assert re.search(line, told), told
    told = kubectl("describe", "service", "agnhost-primary")
    for line in (
        r"Type:\s+ClusterIP",
        r"IP:\s+\S+",
        r"Port:\s+<unset>\s+6379/TCP",
        r"Endpoints:\s+\S+:8080",
        r"Session Affinity:\s+None",
    ):
        assert re.search(line, told), told
    node = pod["spec"]["nodeName"]
    told = kubectl("describe", "node", node)
    for line in (
        rf"Name:\s+{node}",
        "Labels:",
        "Annotations:",
        "CreationTimestamp:",
        "Conditions:",
        r"Type\s+Status\s+LastHeartbeatTime",
        "Addresses:",
        "Capacity:",
        "Version:",
        "Pods:",
    ):
        assert re.search(line, told), told
    assert re.search(
        rf"Name:\s+{kubectl.namespace}\n.*Status:\s+Active",
        kubectl("describe", "namespace", kubectl.namespace),
        re.S,
    )


def test_describe_a_cron_job(kubectl: Kubectl) -> None:
    """[sig-cli] Kubectl client Kubectl describe should check if kubectl describe prints relevant information for
    cronjob"""
    spec = {
        "schedule": "*/1 * * * *",
        "suspend": True,
        "concurrencyPolicy": "Allow",
        "startingDeadlineSeconds": 30,
        "jobTemplate": {"spec": {"template": {"spec": {**pod_spec(), "restartPolicy": "OnFailure"}}}},
    }
    kubectl("create", "-f", "-", input=document("batch/v1", "CronJob", "cronjob-test", spec))
    told = kubectl("describe", "cronjob", "cronjob-test")
    for line in (
        r"Name:\s+cronjob-test",
        r"Schedule:\s+\*/1 \* \* \* \*",
        r"Concurrency Policy:\s+Allow",
        r"Suspend:\s+True",
        r"Starting Deadline Seconds:\s+30s",
    ):
        assert re.search(line, told), told


def test_expose(kubectl: Kubectl, client: Client) -> None:
    """[sig-cli] Kubectl client Kubectl expose should create services for rc"""
    kubectl("create", "-f", "-", input=controller())
    runs(kubectl, "app=agnhost")
    for source, name, port in (("rc", "agnhost-primary", 1234), ("service", "rm2", 2345)):
        target = "rm2" if source == "rc" else "rm3"
        kubectl("expose", source, name, f"--name={target}", f"--port={port}", "--target-port=6379")
        service = client.of("v1", "services", "Service", kubectl.namespace).get(target)
        assert [(each["port"], each["targetPort"]) for each in service["spec"]["ports"]] == [(port, 6379)]
        reaches(client, kubectl.namespace, target, 6379)


def reaches(client: Client, namespace: str, service: str, port: int) -> None:
    of = client.of("v1", "endpoints", "Endpoints", namespace)

    def ports() -> list[int]:
        subsets = of.get(service).get("subsets") or () if of.exists(service) else ()
        return [each["port"] for subset in subsets for each in subset["ports"]]

    until(f"{service} has endpoints", lambda: ports() == [port])


def test_label(kubectl: Kubectl) -> None:
    """[sig-cli] Kubectl client Kubectl label should update the label on a resource"""
    kubectl("create", "-f", "-", input=pause())
    kubectl("label", "pods", "pause", "testing-label=testing-label-value")
    assert "testing-label-value" in kubectl("get", "pod", "pause", "-L", "testing-label")
    kubectl("label", "pods", "pause", "testing-label-")
    assert "testing-label-value" not in kubectl("get", "pod", "pause", "-L", "testing-label")


def test_patch(kubectl: Kubectl) -> None:
    """[sig-cli] Kubectl client Kubectl patch should add annotations for pods in rc"""
    kubectl("create", "-f", "-", input=controller())
    for pod in runs(kubectl, "app=agnhost"):
        kubectl("patch", "pod", pod["metadata"]["name"], "-p", '{"metadata":{"annotations":{"x":"y"}}}')
    assert [each["metadata"]["annotations"]["x"] for each in runs(kubectl, "app=agnhost")] == ["y"]


def test_replace(kubectl: Kubectl) -> None:
    """[sig-cli] Kubectl client Kubectl replace should update a single-container pod's image"""
    kubectl(
        "run", "e2e-test-httpd-pod", "--image=httpd:2", "--labels=run=e2e", "--command", "--", "sleep", "60"
    )
    runs(kubectl, "run=e2e")
    pod = kubectl("get", "pod", "e2e-test-httpd-pod", "-o", "json")
    kubectl("replace", "-f", "-", input=pod.replace('"image": "httpd:2"', '"image": "busybox:1"'))
    assert kubectl.json("get", "pod", "e2e-test-httpd-pod")["spec"]["containers"][0]["image"] == "busybox:1"


def test_run(kubectl: Kubectl) -> None:
    """[sig-cli] Kubectl client Kubectl run pod should create a pod from an image when restart is Never"""
    kubectl("run", "e2e-test-httpd-pod", "--restart=Never", "--pod-running-timeout=2m0s", "--image=httpd:2")
    pod = kubectl.json("get", "pod", "e2e-test-httpd-pod")
    assert pod["spec"]["containers"][0]["image"] == "httpd:2"
    assert pod["spec"]["restartPolicy"] == "Never"


def test_server_side_dry_run(kubectl: Kubectl) -> None:
    """[sig-cli] Kubectl client Kubectl server-side dry-run should check if kubectl can dry-run update Pods"""
    kubectl(
        "run", "e2e-test-httpd-pod", "--image=httpd:2", "--labels=run=e2e", "--command", "--", "sleep", "60"
    )
    patch = json.dumps({"spec": {"containers": [{"name": "e2e-test-httpd-pod", "image": "busybox:1"}]}})
    kubectl("patch", "pod", "e2e-test-httpd-pod", "-p", patch, "--dry-run=server")
    assert kubectl.json("get", "pod", "e2e-test-httpd-pod")["spec"]["containers"][0]["image"] == "httpd:2"


def test_logs(kubectl: Kubectl) -> None:
    """[sig-cli] Kubectl logs logs should be able to retrieve and filter logs"""
    script = "i=1; while [ $i -le 20 ]; do echo line $i; i=$((i+1)); done; sleep 600"
    kubectl(
        "run", "logs-generator", "--image=busybox", "--labels=run=logs", "--command", "--", "sh", "-c", script
    )
    runs(kubectl, "run=logs")
    until("all lines", lambda: len(kubectl("logs", "logs-generator", "logs-generator").splitlines()) == 20)
    assert kubectl("logs", "logs-generator", "--tail=1") == "line 20\n"
    assert kubectl("logs", "logs-generator", "--limit-bytes=1") == "l"
    stamped = kubectl("logs", "logs-generator", "--tail=1", "--timestamps").split(" ", 1)
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d)", stamped[0])
    assert kubectl("logs", "logs-generator", "--since=24h").count("\n") == 20


def test_update_demo(newest: Kubectl) -> None:
    """[sig-cli] Kubectl client Update Demo should create and stop a replication controller; should scale a
    replication controller"""
    newest("create", "-f", "-", input=controller(2))
    runs(newest, "app=agnhost", 2)
    for count in (1, 2):
        newest("scale", "rc", "agnhost-primary", f"--replicas={count}", "--timeout=5m")
        runs(newest, "app=agnhost", count)
    newest("delete", "--grace-period=0", "--force", "-f", "-", input=controller(2))
    until("all pods are gone", lambda: newest.json("get", "pods", "-l", "app=agnhost")["items"] == [])


@contextlib.contextmanager
def proxied(kubectl: Kubectl, cluster: Cluster, *flags: str) -> Iterator[str]:
    """What `kubectl proxy` says that it serves on."""
    process = subprocess.Popen(
        [str(kubectl.binary), f"--kubeconfig={cluster.kubeconfig}", "proxy", *flags],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Starting to serve on")
        yield line.removeprefix("Starting to serve on").strip()
    finally:
        process.terminate()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_proxy_on_a_free_port(kubectl: Kubectl, cluster: Cluster) -> None:
    """[sig-cli] Kubectl client Proxy server should support proxy with --port 0"""
    with (
        proxied(kubectl, cluster, "-p", "0", "--disable-filter") as address,
        urlopen(f"http://{address}/api/") as answer,
    ):
        assert json.load(answer)["versions"] == ["v1"]


def test_proxy_on_a_unix_socket(kubectl: Kubectl, cluster: Cluster, tmp_path: Path) -> None:
    """[sig-cli] Kubectl client Proxy server should support --unix-socket=/path"""
    path = tmp_path / "test.sock"
    with proxied(kubectl, cluster, f"--unix-socket={path}"), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(path))
        client.sendall(b"GET /api/ HTTP/1.0\r\nHost: localhost\r\n\r\n")
        answer = b""
        while piece := client.recv(65536):
            answer += piece
    assert b"200 OK" in answer.split(b"\r\n")[0]
    assert b'"APIVersions"' in answer.replace(b" ", b"")
