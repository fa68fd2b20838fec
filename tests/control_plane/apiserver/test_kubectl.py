"""The API as real kubectl binaries use it, the oldest and the newest on this machine; no node, no controller."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.control_plane.apiserver.harness import Harness, kubectls

pytestmark = pytest.mark.skipif(not kubectls(), reason="no kubectl on this machine")

POD = """
apiVersion: v1
kind: Pod
metadata: {name: p, labels: {app: p}}
spec:
  containers:
  - {name: c, image: busybox, command: [sleep, "1"]}
"""
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: REPLICAS
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: c, image: "nginx:IMAGE"}
"""


class Kubectl:
    def __init__(self, api: Harness, binary: Path, namespace: str) -> None:
        self.api = api
        self.binary = binary
        self.namespace = namespace

    def __call__(self, *arguments: str, stdin: str = "", check: bool = True) -> str:
        return self.run(*arguments, stdin=stdin, check=check).stdout

    def run(self, *arguments: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.api.kubectl(
            f"--namespace={self.namespace}", *arguments, binary=self.binary, stdin=stdin, check=check
        )

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "-o", "json"))


@pytest.fixture(params=kubectls(), ids=lambda path: path.name)
def kubectl(request: pytest.FixtureRequest, api: Harness, namespace: str) -> Kubectl:
    return Kubectl(api, request.param, namespace)


def deployment(replicas: int = 2, image: str = "1") -> str:
    return DEPLOYMENT.replace("REPLICAS", str(replicas)).replace("IMAGE", image)


def test_create_get_edit_delete(kubectl: Kubectl) -> None:
    assert kubectl("create", "configmap", "cm", "--from-literal=a=1") == "configmap/cm created\n"
    assert kubectl("get", "configmap", "cm", "-o", "jsonpath={.data.a}") == "1"
    table = kubectl("get", "cm").splitlines()
    assert table[0].split() == ["NAME", "DATA", "AGE"]
    assert table[1].split()[:2] == ["cm", "1"]
    assert kubectl("label", "cm", "cm", "x=y") == "configmap/cm labeled\n"
    assert kubectl("annotate", "cm", "cm", "x=y").startswith("configmap/cm annotate")
    assert "cm" in kubectl("get", "cm", "-l", "x=y", "-o", "name")
    assert kubectl("delete", "cm", "cm").startswith('configmap "cm" deleted')


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["secret", "generic", "s", "--from-literal=a=b"], "secret/s created"),
        (["namespace", "made-NAMESPACE"], "namespace/made-NAMESPACE created"),
        (["role", "r", "--verb=get", "--resource=pods"], "role.rbac.authorization.k8s.io/r created"),
        (["serviceaccount", "sa"], "serviceaccount/sa created"),
        (["deployment", "d", "--image=nginx"], "deployment.apps/d created"),
        (["job", "j", "--image=nginx"], "job.batch/j created"),
        (["cronjob", "cj", "--image=nginx", "--schedule=* * * * *"], "cronjob.batch/cj created"),
        (["service", "clusterip", "svc", "--tcp=80"], "service/svc created"),
        (["quota", "q", "--hard=pods=5"], "resourcequota/q created"),
        (["ingress", "i", "--rule=example.com/*=svc:80"], "ingress.networking.k8s.io/i created"),
        (["pdb", "b", "--selector=a=b", "--min-available=1"], "poddisruptionbudget.policy/b created"),
        (
            ["priorityclass", "pc-NAMESPACE", "--value=7"],
            "priorityclass.scheduling.k8s.io/pc-NAMESPACE created",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_typed_creates(kubectl: Kubectl, arguments: list[str], said: str) -> None:
    """From 1.32 on these send protobuf."""
    unique = kubectl.namespace[-5:]
    done = kubectl("create", *(each.replace("NAMESPACE", unique) for each in arguments))
    assert done.strip() == said.replace("NAMESPACE", unique)


def test_a_typo_is_refused_with_its_field(kubectl: Kubectl) -> None:
    done = kubectl.run("create", "-f", "-", stdin=POD.replace("image:", "imge:"), check=False)
    assert done.returncode == 1
    assert 'unknown field "spec.containers[0].imge"' in done.stderr


def test_apply_changes_only_what_changed(kubectl: Kubectl) -> None:
    assert kubectl("apply", "-f", "-", stdin=deployment()) == "deployment.apps/web created\n"
    assert kubectl("apply", "-f", "-", stdin=deployment()) == "deployment.apps/web unchanged\n"
    dry = kubectl("apply", "--dry-run=server", "-f", "-", stdin=deployment(3))
    assert dry == "deployment.apps/web configured (server dry run)\n"
    assert kubectl.json("get", "deployment", "web")["spec"]["replicas"] == 2
    assert kubectl("apply", "-f", "-", stdin=deployment(3, "2")) == "deployment.apps/web configured\n"
    spec = kubectl.json("get", "deployment", "web")["spec"]
    assert (spec["replicas"], spec["template"]["spec"]["containers"][0]["image"]) == (3, "nginx:2")


def test_diff_shows_the_change(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=deployment())
    done = kubectl.run("diff", "-f", "-", stdin=deployment(4), check=False)
    assert done.returncode == 1, done.stderr
    assert "+  replicas: 4" in done.stdout


def test_replace_and_patch(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=deployment())
    assert kubectl("replace", "-f", "-", stdin=deployment(1)) == "deployment.apps/web replaced\n"
    kubectl("patch", "deploy", "web", "-p", '{"spec":{"replicas":2}}')
    kubectl("patch", "deploy", "web", "--type=merge", "-p", '{"spec":{"paused":true}}')
    kubectl("patch", "deploy", "web", "--type=json", "-p", '[{"op":"remove","path":"/spec/paused"}]')
    spec = kubectl.json("get", "deploy", "web")["spec"]
    assert spec["replicas"] == 2
    assert not spec.get("paused")


def test_scale_set_expose_autoscale(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=deployment())
    assert kubectl("scale", "deployment", "web", "--replicas=5") == "deployment.apps/web scaled\n"
    kubectl("set", "image", "deployment/web", "c=nginx:9")
    kubectl("set", "env", "deployment/web", "A=b")
    assert kubectl("expose", "deployment", "web", "--port=80", "--type=NodePort") == "service/web exposed\n"
    kubectl("autoscale", "deployment", "web", "--min=1", "--max=3")
    found = kubectl.json("get", "deployment", "web")["spec"]
    container = found["template"]["spec"]["containers"][0]
    assert (found["replicas"], container["image"], container["env"]) == (
        5,
        "nginx:9",
        [{"name": "A", "value": "b"}],
    )
    row = kubectl("get", "service", "web").splitlines()[1].split()
    assert row[:2] == ["web", "NodePort"]
    assert row[4].startswith("80:3")


def test_rollout_commands(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=deployment())
    assert kubectl("rollout", "restart", "deployment/web") == "deployment.apps/web restarted\n"
    assert kubectl("rollout", "pause", "deployment/web") == "deployment.apps/web paused\n"
    assert kubectl("rollout", "resume", "deployment/web") == "deployment.apps/web resumed\n"
    waiting = kubectl.run("rollout", "status", "deployment/web", "--timeout=1s", check=False)
    assert "Waiting for deployment" in waiting.stdout
    assert "deployment.apps/web" in kubectl("rollout", "history", "deployment/web")


def test_explain_and_discovery(kubectl: Kubectl) -> None:
    explained = kubectl("explain", "deployment.spec.replicas")
    assert "replicas" in explained
    assert "Number of desired pods" in explained
    rows = kubectl("api-resources").splitlines()
    assert any(row.split()[:3] == ["pods", "po", "v1"] for row in rows)
    versions = kubectl("api-versions").split()
    assert {"v1", "apps/v1", "batch/v1"} <= set(versions)
    assert kubectl.json("version")["serverVersion"]["gitVersion"].startswith("v1.36.")
    assert "is running at" in kubectl("cluster-info")


def test_pods_and_nodes(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=POD)
    node = f"n-{kubectl.namespace[-5:]}"
    kubectl("create", "-f", "-", stdin=f"apiVersion: v1\nkind: Node\nmetadata: {{name: {node}}}\n")
    assert kubectl("cordon", node) == f"node/{node} cordoned\n"
    assert "SchedulingDisabled" in kubectl("get", "node", node)
    assert kubectl("uncordon", node) == f"node/{node} uncordoned\n"
    assert kubectl("taint", "node", node, "k=v:NoSchedule") == f"node/{node} tainted\n"
    assert kubectl("get", "pods", "-o", "wide").splitlines()[1].split()[:3] == ["p", "0/1", "Pending"]
    assert "Name:" in kubectl("describe", "pod", "p")
    assert "No resources found" in kubectl.run("get", "events").stderr
    assert kubectl("delete", "pod", "p").startswith('pod "p" deleted')


def test_wait_and_watch(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "cm")
    with subprocess.Popen(
        [str(kubectl.binary), "-n", kubectl.namespace, "get", "cm", "-w", "-o", "name"],
        stdout=subprocess.PIPE,
        text=True,
        env={"KUBECONFIG": str(kubectl.api.directory / "pki" / "admin.kubeconfig"), "HOME": "/nonexistent"},
    ) as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline() == "configmap/cm\n"
        kubectl("create", "configmap", "cm2")
        assert watching.stdout.readline() == "configmap/cm2\n"
        watching.kill()
    kubectl("delete", "cm", "cm", "--wait=false")
    assert kubectl.run("wait", "--for=delete", "cm/cm", "--timeout=5s", check=False).returncode in (0, 1)


def test_auth_commands(kubectl: Kubectl) -> None:
    assert kubectl("auth", "can-i", "create", "pods") == "yes\n"
    assert kubectl("auth", "can-i", "create", "pods", "--as=jane", check=False) == "no\n"
    assert "Resources" in kubectl("auth", "can-i", "--list")
    assert kubectl("create", "token", "default").count(".") == 2
    who = kubectl("auth", "whoami", check=False)
    assert "admin" in who or "unknown command" in who or who == ""


def test_get_forms(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=deployment())
    assert "deployment.apps/web" in kubectl("get", "all")
    assert kubectl("get", "deploy", "-o", "name") == "deployment.apps/web\n"
    assert kubectl("get", "deploy", "web", "-o", "custom-columns=N:.metadata.name").split() == ["N", "web"]
    assert kubectl("get", "--raw", "/healthz") == "ok"
    assert "NAMESPACE" in kubectl("get", "deploy", "-A")
    assert "web" in kubectl("get", "deploy", "--show-labels", "--sort-by=.metadata.name")
    missing = kubectl.run("get", "deploy", "none", check=False)
    assert missing.stderr == 'Error from server (NotFound): deployments.apps "none" not found\n'


def test_component_statuses(kubectl: Kubectl) -> None:
    rows = kubectl("get", "componentstatuses").splitlines()
    assert rows[1].split()[:2] == ["etcd-0", "Healthy"]
    assert kubectl("get", "componentstatus", "etcd-0", "-o", "name") == "componentstatus/etcd-0\n"
