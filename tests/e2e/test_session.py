"""What the README promises, typed as a user types it, with the oldest and the newest kubectl."""

from __future__ import annotations

import urllib.request

import pytest

from tests.e2e.conftest import Cluster, until
from tests.kubectl import Kubectl

pytestmark = pytest.mark.cluster


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        text: str = answer.read().decode()
        return text


def create_web(kubectl: Kubectl, replicas: int = 3) -> None:
    command = ("python3", "-c", SERVER)
    kubectl("create", "deployment", "web", "--image=python:3", f"--replicas={replicas}", "--", *command)
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")


SERVER = """
import http.server, socket
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(socket.gethostname().encode())
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""


def pods(kubectl: Kubectl) -> list[str]:
    items = kubectl.json("get", "pods", "-l", "app=web")["items"]
    return [each["metadata"]["name"] for each in items if not each["metadata"].get("deletionTimestamp")]


def test_nodes_are_ready(kubectl: Kubectl) -> None:
    lines = kubectl("get", "nodes").splitlines()
    assert lines[0].split() == ["NAME", "STATUS", "ROLES", "AGE", "VERSION"]
    assert [line.split()[:2] for line in lines[1:]] == [[f"node-{number}", "Ready"] for number in (1, 2, 3)]


def test_a_deployment_is_spread_exposed_and_answers(cluster: Cluster, kubectl: Kubectl) -> None:
    create_web(kubectl)
    nodes = {each["spec"]["nodeName"] for each in kubectl.json("get", "pods")["items"]}
    assert nodes == {"node-1", "node-2", "node-3"}
    kubectl("expose", "deployment", "web", "--port=80", "--target-port=8080", "--type=NodePort")
    service = kubectl.json("get", "service", "web")["spec"]
    url = f"http://127.0.0.1:{service['ports'][0]['nodePort']}/"
    until("the node port answers", lambda: reachable(url))
    assert {fetch(url) for _ in range(60)} == set(pods(kubectl))
    inside = cluster.balsa("net", "curl", "-sS", "-m", "5", f"http://{service['clusterIP']}/")
    assert inside in pods(kubectl)


def reachable(url: str) -> bool:
    try:
        fetch(url)
    except OSError:
        return False
    return True


def test_rollout_history_undo_and_scale(kubectl: Kubectl) -> None:
    create_web(kubectl, 2)
    kubectl("scale", "deployment", "web", "--replicas=4")
    kubectl("set", "env", "deployment/web", "A=b")
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    assert [
        line.split()[0] for line in kubectl("rollout", "history", "deployment/web").splitlines()[2:4]
    ] == ["1", "2"]
    kubectl("rollout", "undo", "deployment/web")
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    template = kubectl.json("get", "deployment", "web")["spec"]["template"]
    assert "env" not in template["spec"]["containers"][0]
    assert len(pods(kubectl)) == 4


def test_a_deleted_pod_is_replaced_and_a_deleted_deployment_leaves_nothing(kubectl: Kubectl) -> None:
    create_web(kubectl, 2)
    victim = pods(kubectl)[0]
    kubectl("delete", "pod", victim, "--grace-period=1")
    until("a replacement", lambda: len(pods(kubectl)) == 2 and victim not in pods(kubectl))
    kubectl("delete", "deployment", "web")
    until("pods and replica sets are collected", lambda: not kubectl.json("get", "pods,replicasets")["items"])


def test_logs_describe_and_events(kubectl: Kubectl) -> None:
    script = "echo first; echo second; sleep 1000"
    kubectl("run", "talker", "--image=busybox", "--restart=Never", "--command", "--", "sh", "-c", script)
    kubectl("wait", "--for=condition=Ready", "pod/talker", "--timeout=30s")
    until("its log", lambda: kubectl("logs", "talker") == "first\nsecond\n")
    assert kubectl("logs", "talker", "--tail=1") == "second\n"
    description = kubectl("describe", "pod", "talker")
    assert "Successfully assigned" in description
    assert "Started container" in description or "Container started" in description
    assert "Scheduled" in kubectl("get", "events")


def test_a_crashing_pod_backs_off_and_keeps_its_last_log(kubectl: Kubectl) -> None:
    kubectl("run", "crasher", "--image=busybox", "--command", "--", "sh", "-c", "echo going; exit 3")
    until("CrashLoopBackOff", lambda: "CrashLoopBackOff" in kubectl("get", "pod", "crasher"))
    assert kubectl("logs", "crasher", "--previous") == "going\n"
    state = kubectl.json("get", "pod", "crasher")["status"]["containerStatuses"][0]["lastState"]
    assert state["terminated"]["exitCode"] == 3


def test_an_image_without_a_command_cannot_be_pulled(kubectl: Kubectl) -> None:
    kubectl("run", "stranger", "--image=registry.invalid/none:1")
    until("ErrImagePull", lambda: "ImagePull" in kubectl("get", "pod", "stranger"))


def test_a_job_runs_to_completion(kubectl: Kubectl) -> None:
    kubectl("create", "job", "sum", "--image=busybox", "--", "sh", "-c", "echo $((6 * 7))")
    kubectl("wait", "--for=condition=Complete", "job/sum", "--timeout=30s")
    assert kubectl("logs", "job/sum") == "42\n"


DAEMON = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: everywhere}
spec:
  selector: {matchLabels: {app: everywhere}}
  template:
    metadata: {labels: {app: everywhere}}
    spec:
      containers: [{name: c, image: busybox, command: [sleep, "1000"]}]
"""


def test_a_daemon_runs_on_every_node(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", input=DAEMON)
    kubectl("rollout", "status", "daemonset/everywhere", "--timeout=30s")
    nodes = [each["spec"]["nodeName"] for each in kubectl.json("get", "pods")["items"]]
    assert sorted(nodes) == ["node-1", "node-2", "node-3"]


CONFIGURED = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {color: green, "app.conf": "answer = 42"}
---
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {password: hunter2}
---
apiVersion: v1
kind: Pod
metadata: {name: configured, labels: {tier: back}}
spec:
  restartPolicy: Never
  volumes:
  - {name: settings, configMap: {name: settings}}
  - {name: scratch, emptyDir: {}}
  initContainers:
  - {name: first, image: busybox, command: [sh, -c, "echo prepared > /scratch/file"],
     volumeMounts: [{name: scratch, mountPath: /scratch}]}
  containers:
  - name: c
    image: busybox
    command: [sh, -c, "echo $COLOR $PASSWORD $NAME $TIER; cat /etc/settings/app.conf; echo; cat /scratch/file"]
    env:
    - {name: COLOR, valueFrom: {configMapKeyRef: {name: settings, key: color}}}
    - {name: PASSWORD, valueFrom: {secretKeyRef: {name: keys, key: password}}}
    - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: TIER, valueFrom: {fieldRef: {fieldPath: "metadata.labels['tier']"}}}
    volumeMounts:
    - {name: settings, mountPath: /etc/settings}
    - {name: scratch, mountPath: /scratch}
"""


def test_configuration_reaches_the_container(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", input=CONFIGURED)
    until("it has run", lambda: kubectl.json("get", "pod", "configured")["status"]["phase"] == "Succeeded")
    assert kubectl("logs", "configured", "-c", "c").split() == [
        "green", "hunter2", "configured", "back", "answer", "=", "42", "prepared",
    ]  # fmt: skip


ASKS_THE_API = """
import json, os, ssl, urllib.request
base = "/var/run/secrets/kubernetes.io/serviceaccount/"
context = ssl.create_default_context(cafile=base + "ca.crt")
host = os.environ["KUBERNETES_SERVICE_HOST"] + ":" + os.environ["KUBERNETES_SERVICE_PORT"]
body = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}).encode()
headers = {"Authorization": "Bearer " + open(base + "token").read(), "Content-Type": "application/json"}
request = urllib.request.Request(f"https://{host}/apis/authentication.k8s.io/v1/selfsubjectreviews", body, headers)
print(json.load(urllib.request.urlopen(request, context=context))["status"]["userInfo"]["username"])
"""


def test_a_pod_reaches_the_apiserver_with_its_token(kubectl: Kubectl) -> None:
    kubectl(
        "run",
        "asker",
        "--image=python:3",
        "--restart=Never",
        "--command",
        "--",
        "python3",
        "-c",
        ASKS_THE_API,
    )
    until(
        "it has run",
        lambda: kubectl.json("get", "pod", "asker")["status"]["phase"] in ("Succeeded", "Failed"),
    )
    assert kubectl("logs", "asker") == f"system:serviceaccount:{kubectl.namespace}:default\n"


def test_what_does_not_fit_stays_pending_and_says_why(kubectl: Kubectl) -> None:
    overrides = (
        '{"spec": {"containers": [{"name": "big", "image": "x", "resources": {"requests": {"cpu": "999"}}}]}}'
    )
    kubectl("run", "big", "--image=x", f"--overrides={overrides}")
    until("the reason", lambda: "Insufficient cpu" in kubectl("describe", "pod", "big"))
    assert "0/3 nodes are available: 3 Insufficient cpu." in kubectl("describe", "pod", "big")


def test_a_deleted_namespace_takes_everything_along(cluster: Cluster, newest: Kubectl) -> None:
    create_web(newest, 1)
    newest("create", "configmap", "left", "--from-literal=a=b")
    newest("delete", "namespace", newest.namespace, "--timeout=60s")
    assert newest.run("get", "namespace", newest.namespace).returncode == 1


def test_explain_and_discovery(kubectl: Kubectl) -> None:
    assert "replicas" in kubectl("explain", "deployment.spec")
    resources = kubectl("api-resources")
    assert all(name in resources for name in ("deployments", "configmaps", "customresourcedefinitions"))
