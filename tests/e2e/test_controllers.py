"""One promise of each control loop, on a whole cluster through kubectl."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

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


STATEFUL = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: c
        image: busybox
        command: [sh, -c, "hostname >> /data/starts; cat /data/starts; sleep 1000"]
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
"""


def test_a_stateful_set_keeps_its_data_and_its_volumes_go_with_their_claims(newest: Kubectl) -> None:
    newest("apply", "-f", "-", input=STATEFUL)
    newest("rollout", "status", "statefulset/db", "--timeout=40s")
    claims = newest.json("get", "pvc")["items"]
    assert [(each["metadata"]["name"], each["status"]["phase"]) for each in claims] == [
        ("data-db-0", "Bound"), ("data-db-1", "Bound"),
    ]  # fmt: skip
    assert {each["status"]["capacity"]["storage"] for each in claims} == {"1Mi"}
    newest("delete", "pod", "db-0")
    newest("wait", "--for=condition=Ready", "pod/db-0", "--timeout=40s")
    until("what it wrote before", lambda: newest("logs", "db-0") == "db-0\ndb-0\n")
    newest("delete", "pvc", "data-db-1", "--wait=false")
    assert newest.json("get", "pvc", "data-db-1")["status"]["phase"] == "Bound"  # it is in use
    newest("delete", "statefulset", "db")
    volumes = [each["spec"]["volumeName"] for each in claims]
    until("only the claim that was not deleted", lambda: names(newest, "pvc") == ["data-db-0"])
    until("its volume goes", lambda: newest.run("get", "pv", volumes[1]).returncode == 1)
    newest("patch", "pv", volumes[0], "-p", '{"spec": {"persistentVolumeReclaimPolicy": "Retain"}}')
    newest("delete", "pvc", "data-db-0")
    until("its volume stays", lambda: newest.json("get", "pv", volumes[0])["status"]["phase"] == "Released")
    newest("delete", "pv", volumes[0])


VOLUME = """
apiVersion: v1
kind: PersistentVolume
metadata: {name: NAME}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteMany]
  storageClassName: manual
  hostPath: {path: /tmp/NAME}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: mine}
spec:
  storageClassName: manual
  accessModes: [ReadWriteMany]
  resources: {requests: {storage: 500Mi}}
"""


def test_a_claim_finds_a_volume_that_was_made_for_it(newest: Kubectl) -> None:
    name = f"pv-{newest.namespace}"
    newest("apply", "-f", "-", input=VOLUME.replace("NAME", name))
    newest("wait", "--for=jsonpath={.status.phase}=Bound", "pvc/mine", "--timeout=20s")
    assert newest.json("get", "pvc", "mine")["spec"]["volumeName"] == name
    newest("delete", "pvc", "mine")
    newest("wait", "--for=jsonpath={.status.phase}=Released", f"pv/{name}", "--timeout=20s")
    newest("delete", "pv", name)


EPHEMERAL = """
apiVersion: v1
kind: Pod
metadata: {name: scratchy}
spec:
  restartPolicy: Never
  containers:
  - name: c
    image: busybox
    command: [sh, -c, "echo x > /s/y && cat /s/y"]
    volumeMounts: [{name: s, mountPath: /s}]
  volumes:
  - name: s
    ephemeral:
      volumeClaimTemplate:
        spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
"""


def test_an_ephemeral_volume_comes_and_goes_with_its_pod(newest: Kubectl) -> None:
    newest("apply", "-f", "-", input=EPHEMERAL)
    until("it has run", lambda: newest.json("get", "pod", "scratchy")["status"]["phase"] == "Succeeded")
    assert names(newest, "pvc") == ["scratchy-s"]
    newest("delete", "pod", "scratchy")
    until("its claim is collected", lambda: not names(newest, "pvc"))


def test_claims_go_with_pods_that_are_scaled_away_if_the_set_says_so(newest: Kubectl) -> None:
    policy = (
        "  persistentVolumeClaimRetentionPolicy: {whenScaled: Delete, whenDeleted: Delete}\n  replicas: 2"
    )
    newest("apply", "-f", "-", input=STATEFUL.replace("  replicas: 2", policy))
    newest("rollout", "status", "statefulset/db", "--timeout=40s")
    newest("scale", "statefulset", "db", "--replicas=1")
    until("one claim is left", lambda: names(newest, "pvc") == ["data-db-0"])
    newest("delete", "statefulset", "db")
    until("no claim is left", lambda: not names(newest, "pvc"))


BY_HAND = """
apiVersion: v1
kind: Service
metadata: {name: outside}
spec: {ports: [{name: p, port: 80}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: outside}
subsets: [{addresses: [{ip: 192.0.2.7}], ports: [{name: p, port: 8080}]}]
"""


def test_endpoints_written_by_hand_are_mirrored(newest: Kubectl) -> None:
    newest("apply", "-f", "-", input=BY_HAND)
    of_service = ("-l", "kubernetes.io/service-name=outside")
    until("a slice", lambda: names(newest, "endpointslices", *of_service))
    slice_ = newest.json("get", "endpointslices", *of_service)["items"][0]
    assert slice_["endpoints"][0]["addresses"] == ["192.0.2.7"]
    newest("delete", "service", "outside")
    until("it is gone", lambda: not names(newest, "endpointslices", *of_service))


def certificate_request(name: str, user: str) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, user)])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    content = base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()
    spec = {
        "signerName": "kubernetes.io/kube-apiserver-client",
        "request": content,
        "usages": ["digital signature", "client auth"],
    }
    metadata = {"name": name}
    kind = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest"}
    return json.dumps({**kind, "metadata": metadata, "spec": spec})


def test_an_approved_certificate_request_is_signed(newest: Kubectl) -> None:
    name = f"jane-{newest.namespace}"
    newest("create", "-f", "-", input=certificate_request(name, "jane"))
    newest("certificate", "approve", name)
    signed = until(
        "a certificate", lambda: newest.json("get", "csr", name).get("status", {}).get("certificate")
    )
    certificate = x509.load_pem_x509_certificate(base64.b64decode(signed))
    assert certificate.subject.rfc4514_string() == "CN=jane"
    assert "Approved,Issued" in newest("get", "csr", name)
    newest("delete", "csr", name)


ROBOT = """
apiVersion: v1
kind: Secret
metadata: {name: robot, annotations: {kubernetes.io/service-account.name: default}}
type: kubernetes.io/service-account-token
"""


def test_a_secret_gets_the_token_of_its_service_account(newest: Kubectl) -> None:
    newest("apply", "-f", "-", input=ROBOT)
    token = until("a token", lambda: newest.json("get", "secret", "robot").get("data", {}).get("token"))
    claims = base64.b64decode(token).decode().split(".")[1]
    subject = json.loads(base64.urlsafe_b64decode(claims + "=="))["sub"]
    assert subject == f"system:serviceaccount:{newest.namespace}:default"


PER_INDEX = """
apiVersion: batch/v1
kind: Job
metadata: {name: indexed}
spec:
  completions: 3
  parallelism: 3
  completionMode: Indexed
  backoffLimitPerIndex: 0
  maxFailedIndexes: 2
  template:
    spec:
      restartPolicy: Never
      containers: [{name: c, image: x, command: [sh, -c, "test $JOB_COMPLETION_INDEX != 1"]}]
"""


def test_an_index_of_a_job_may_fail_alone(newest: Kubectl) -> None:
    newest("apply", "-f", "-", input=PER_INDEX)
    newest("wait", "--for=condition=Failed", "job/indexed", "--timeout=30s")
    status = newest.json("get", "job", "indexed")["status"]
    assert (status["completedIndexes"], status["failedIndexes"]) == ("0,2", "1")
    assert status["conditions"][-1]["reason"] == "FailedIndexes"


FAIL_FAST = """
apiVersion: batch/v1
kind: Job
metadata: {name: fast}
spec:
  backoffLimit: 6
  podFailurePolicy:
    rules: [{action: FailJob, onExitCodes: {operator: In, values: [42]}}]
  template:
    spec:
      restartPolicy: Never
      containers: [{name: c, image: x, command: [sh, -c, "exit 42"]}]
"""


def test_a_job_fails_at_once_if_its_policy_says_so(newest: Kubectl) -> None:
    newest("apply", "-f", "-", input=FAIL_FAST)
    newest("wait", "--for=condition=Failed", "job/fast", "--timeout=30s")
    condition = newest.json("get", "job", "fast")["status"]["conditions"][-1]
    assert condition["reason"] == "PodFailurePolicy"
    assert "failed with exit code 42 matching FailJob rule at index 0" in condition["message"]


BUSY = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: busy}
spec:
  selector: {matchLabels: {app: busy}}
  template:
    metadata: {labels: {app: busy}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: c
        image: x
        command: [sh, -c, "while :; do :; done"]
        resources: {requests: {cpu: 10m}}
"""


def test_top_shows_what_nodes_and_pods_use(newest: Kubectl) -> None:
    newest("apply", "-f", "-", input=BUSY)
    newest("rollout", "status", "deployment/busy", "--timeout=30s")
    until("the nodes' usage", lambda: newest.run("top", "nodes").stdout.count("node-") == 3)
    shown = until("the pod's usage", lambda: newest.run("top", "pods", "--no-headers").stdout.split())
    assert shown[0].startswith("busy-")
    assert int(shown[1].removesuffix("m")) > 50


AUTOSCALER = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: busy}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: busy}
  minReplicas: 1
  maxReplicas: 3
  metrics:
  - type: Resource
    resource: {name: memory, target: {type: AverageValue, averageValue: 100Ki}}
"""


def test_a_deployment_grows_with_what_its_pods_use(newest: Kubectl) -> None:
    newest("apply", "-f", "-", input=BUSY.replace("while :; do :; done", "sleep 1000"))
    newest("rollout", "status", "deployment/busy", "--timeout=30s")
    newest("apply", "-f", "-", input=AUTOSCALER)
    until("three replicas", lambda: newest.json("get", "deployment", "busy")["spec"]["replicas"] == 3, 60)
    until("its status", lambda: newest.json("get", "hpa", "busy")["status"].get("desiredReplicas") == 3)
    said = {each["type"]: each for each in newest.json("get", "hpa", "busy")["status"]["conditions"]}
    assert (said["ScalingActive"]["status"], said["ScalingLimited"]["reason"]) == ("True", "TooManyReplicas")
    assert "SuccessfulRescale" in newest("describe", "hpa", "busy")
