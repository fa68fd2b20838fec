"""certificate, cluster-info, top, cordon, uncordon, drain, taint."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.e2e.conftest import Cluster
from tests.e2e.kubectl.transcript import check
from tests.kubectl import Kubectl

pytestmark = pytest.mark.cluster


@pytest.fixture
def node(kubectl: Kubectl) -> Iterator[str]:
    """One that may be closed for a while; it is open again afterwards."""
    yield "node-3"
    kubectl.run("uncordon", "node-3")
    kubectl.run("taint", "nodes", "node-3", "maintenance-")


def test_certificate(kubectl: Kubectl) -> None:
    names = [f"{kubectl.namespace}-{each}" for each in ("good", "bad")]
    for name in names:
        kubectl("create", "-f", "-", input=_signing_request(name))
    good, bad = names
    check(
        kubectl,
        f"""
$ get csr {good}
NAME     AGE     SIGNERNAME                            REQUESTOR          REQUESTEDDURATION   CONDITION
{good}   <age>   kubernetes.io/kube-apiserver-client   kubernetes-admin   24h                 Pending
$ certificate approve {good}
certificatesigningrequest.certificates.k8s.io/{good} approved
$ certificate deny {bad}
certificatesigningrequest.certificates.k8s.io/{bad} denied
$? get csr {good}
NAME     AGE     SIGNERNAME                            REQUESTOR          REQUESTEDDURATION   CONDITION
{good}   <age>   kubernetes.io/kube-apiserver-client   kubernetes-admin   24h                 Approved,Issued
$ get csr {bad} --no-headers
{bad}   <age>   kubernetes.io/kube-apiserver-client   kubernetes-admin   24h   Denied
""",
    )


def _signing_request(name: str) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "jane")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    pem = request.public_bytes(serialization.Encoding.PEM)
    spec = {
        "request": base64.b64encode(pem).decode(),
        "signerName": "kubernetes.io/kube-apiserver-client",
        "usages": ["client auth"],
        "expirationSeconds": 86400,
    }
    kind = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest"}
    return json.dumps({**kind, "metadata": {"name": name}, "spec": spec})


def test_cluster_info(kubectl: Kubectl, cluster: Cluster) -> None:
    shown = kubectl("cluster-info")
    server = kubectl("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}")
    assert f"Kubernetes control plane is running at {server}" in shown.replace("\x1b[0;32m", "").replace(
        "\x1b[0m", ""
    ).replace("\x1b[0;33m", "")
    dump = kubectl("cluster-info", "dump", "--namespaces", kubectl.namespace)
    assert '"kind": "NodeList"' in dump


def test_top(kubectl: Kubectl) -> None:
    check(
        kubectl,
        """
$ run busy --image=busybox --command -- sleep 1000
pod/busy created
$? top pod
NAME   CPU(cores)   MEMORY(bytes)
busy   <number>m    <number>Mi
$? top pod --containers
POD    NAME   CPU(cores)   MEMORY(bytes)
busy   busy   <number>m    <number>Mi
$? top node
NAME     CPU(cores)   {CPU%|CPU(%)}   MEMORY(bytes)   {MEMORY%|MEMORY(%)}
node-1   <number>m    <number>%       <number>Mi      <number>%
node-2   <number>m    <number>%       <number>Mi      <number>%
node-3   <number>m    <number>%       <number>Mi      <number>%
""",
    )


def test_cordon_drain_and_uncordon(kubectl: Kubectl, node: str) -> None:
    overrides = f'{{"spec": {{"nodeName": "{node}"}}}}'
    kubectl("run", "bare", "--image=busybox", f"--overrides={overrides}", "--command", "--", "sleep", "1000")
    kubectl("wait", "--for=condition=Ready", "pod/bare", "--timeout=30s")
    check(
        kubectl,
        f"""
$ cordon {node}
node/{node} cordoned
$ cordon {node}
node/{node} already cordoned
$ get node {node}
NAME     STATUS                     ROLES    AGE     VERSION
{node}   Ready,SchedulingDisabled   <none>   <age>   v1.36.0+balsa
$ drain {node} --pod-selector=run=bare --force --grace-period=1
node/{node} already cordoned
evicting pod {{namespace}}/bare
pod/bare evicted
node/{node} drained
Warning: deleting Pods that declare no controller: {{namespace}}/bare
$ uncordon {node}
node/{node} uncordoned
$ uncordon {node}
node/{node} already uncordoned
""",
    )


def test_drain_says_what_it_does_not_touch(kubectl: Kubectl, node: str) -> None:
    overrides = f'{{"spec": {{"nodeName": "{node}"}}}}'
    kubectl("run", "bare", "--image=busybox", f"--overrides={overrides}", "--command", "--", "sleep", "1000")
    done = kubectl.run("drain", node, "--pod-selector=run=bare")
    assert done.returncode == 1
    where = f"{kubectl.namespace}/bare"
    assert f"Pods that declare no controller (use --force to override): {where}" in done.stderr or (
        f"Pods declare no controller (use --force to override): {where}" in done.stderr
    )


def test_taint(kubectl: Kubectl, node: str) -> None:
    check(
        kubectl,
        f"""
$ taint nodes {node} maintenance=now:NoSchedule
node/{node} tainted
$ taint nodes {node} maintenance=now:NoSchedule
error: node {node} already has maintenance taint(s) with same effect(s) and --overwrite is false
$ taint nodes {node} maintenance=later:NoSchedule --overwrite
node/{node} modified
$ taint nodes {node} maintenance:NoSchedule-
node/{node} untainted
$ taint nodes {node} maintenance-
error: taint "maintenance" not found
$ taint nodes {node} maintenance=now:Sometimes
error: invalid taint effect: Sometimes, unsupported taint effect
See 'kubectl taint -h' for help and examples
""",
    )
