"""`balsa why` on a running cluster: the chain ends at what is really wrong."""

from __future__ import annotations

import json

import pytest

from tests.e2e.conftest import Cluster, until
from tests.kubectl import Kubectl

pytestmark = pytest.mark.cluster

TOO_LARGE = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: large}
spec:
  selector: {matchLabels: {app: large}}
  template:
    metadata: {labels: {app: large}}
    spec:
      containers: [{name: c, image: x, command: [sleep, "1000"], resources: {requests: {cpu: "999"}}}]
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {storageClassName: fast, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: nobody}, ports: [{port: 80}]}
"""


def test_the_chain_of_causes(cluster: Cluster, newest: Kubectl) -> None:
    newest("apply", "-f", "-", input=TOO_LARGE)

    def why(target: str) -> str:
        return cluster.balsa("why", target, "-n", newest.namespace, check=False)

    text = until(
        "the scheduler's answer", lambda: said if "it asks for" in (said := why("deployment/large")) else ""
    )
    assert "deployment/large has 0 of 1 pod available" in text
    assert "fits on no node of 3" in text
    assert "it asks for 999 cpu" in text
    assert "no node is that large" in text.partition("next:")[2]
    assert "names the storage class 'fast', which does not exist" in why("pvc/data")
    assert "selects app=nobody: no pod has that" in why("svc/web")
    whole = json.loads(cluster.balsa("why", f"namespace/{newest.namespace}", "-o", "json", check=False))
    assert {each["about"] for each in whole["because"]} >= {"deployment/large", "persistentvolumeclaim/data"}


def test_what_is_well_and_what_is_not_there(cluster: Cluster, newest: Kubectl) -> None:
    newest("create", "job", "j", "--image=x", "--", "true")
    until("the job is done", lambda: newest.run("wait", "job/j", "--for=condition=complete").returncode == 0)
    assert "job/j is complete" in cluster.balsa("why", "job/j", "-n", newest.namespace)
    assert "has been ready" in cluster.balsa("why", "node/node-1")
    assert "there is no pod 'x'" in cluster.balsa("why", "pod/x", "-n", newest.namespace, check=False)
