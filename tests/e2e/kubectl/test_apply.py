"""diff, apply, patch, replace, wait, kustomize."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.kubectl.transcript import check
from tests.kubectl import Kubectl

pytestmark = pytest.mark.cluster

GREEN = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {color: green}
"""
RED = GREEN.replace("green", "red")
ODD = GREEN.replace("\ndata:", "\ndaten:").replace("settings", "odd")


def test_apply_and_diff(kubectl: Kubectl) -> None:
    check(
        kubectl,
        """
$ apply -f - < GREEN
configmap/settings created
$ apply -f - < GREEN
configmap/settings unchanged
$ diff -f - < GREEN
$ apply -f - --dry-run=server < RED
configmap/settings configured (server dry run)
$ diff -f - < RED
diff -u -N <*>
--- <*>
+++ <*>
@@ <*> @@
...
-  color: green
+  color: red
...
$ apply -f - < RED
configmap/settings configured
$ apply view-last-applied configmap/settings
apiVersion: v1
data:
  color: red
kind: ConfigMap
metadata:
  annotations: {}
  name: settings
  namespace: {namespace}
$ apply -f - < ODD
Error from server (BadRequest): error when creating "STDIN": ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "daten"
""",
        {"GREEN": GREEN, "RED": RED, "ODD": ODD},
    )


def test_apply_on_the_server(kubectl: Kubectl) -> None:
    check(
        kubectl,
        """
$ apply --server-side -f - < GREEN
configmap/settings serverside-applied
$ patch configmap settings -p '{"data":{"color":"blue"}}'
configmap/settings patched
$ apply --server-side -f - < RED
...
error: Apply failed with 1 conflict: conflict with "kubectl-patch" using v1: .data.color
...
$ apply --server-side --force-conflicts -f - < RED
configmap/settings serverside-applied
$ get configmap settings -o jsonpath={.data.color}
red
""",
        {"GREEN": GREEN, "RED": RED},
    )


def test_patch_and_replace(kubectl: Kubectl) -> None:
    check(
        kubectl,
        """
$ create -f - < GREEN
configmap/settings created
$ patch configmap settings --type=merge -p '{"data":{"size":"large"}}'
configmap/settings patched
$ patch configmap settings --type=merge -p '{"data":{"size":"large"}}'
configmap/settings patched (no change)
$ patch configmap settings --type=json -p '[{"op":"remove","path":"/data/size"}]'
configmap/settings patched
$ patch configmap settings --type=json -p '[{"op":"remove","path":"/data/size"}]'
The request is invalid: the server rejected our request due to an error in our request
$ get configmap settings -o jsonpath={.data}
{"color":"green"}
$ replace -f - < RED
configmap/settings replaced
$ get configmap settings -o jsonpath={.data}
{"color":"red"}
$ replace --force -f - < GREEN
configmap "settings" deleted
configmap/settings replaced
$ delete configmap settings
configmap "settings" deleted
$ replace -f - < RED
Error from server (NotFound): error when replacing "STDIN": configmaps "settings" not found
$ patch configmap settings -p {}
Error from server (NotFound): configmaps "settings" not found
""",
        {"GREEN": GREEN, "RED": RED},
    )


def test_wait(kubectl: Kubectl) -> None:
    check(
        kubectl,
        """
$ create deployment web --image=busybox -- sleep 1000
deployment.apps/web created
$ wait --for=condition=Available deployment/web --timeout=30s
deployment.apps/web condition met
$ wait --for=jsonpath={.status.readyReplicas}=1 deployment/web --timeout=30s
deployment.apps/web condition met
$ wait --for=condition=Unheard deployment/web --timeout=0.2s
error: timed out waiting for the condition on deployments/web
$ delete deployment web --wait=false
deployment.apps "web" deleted
$ wait --for=delete deployment/web --timeout=30s
""",
    )


def test_kustomize(kubectl: Kubectl, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(GREEN)
    (tmp_path / "kustomization.yaml").write_text("namePrefix: my-\nresources: [base.yaml]\n")
    check(
        kubectl,
        f"""
$ kustomize {tmp_path}
apiVersion: v1
data:
  color: green
kind: ConfigMap
metadata:
  name: my-settings
$ apply -k {tmp_path}
configmap/my-settings created
$ get -k {tmp_path}
NAME          DATA   AGE
my-settings   1      <age>
$ delete -k {tmp_path}
configmap "my-settings" deleted
""",
    )
