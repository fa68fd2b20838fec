"""test/e2e/common/node: names of variables with any prefix (configmap.go, secrets.go), subpaths that are written to
and that are mended (expansion.go)
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from tests.conformance.client import Client
from tests.conformance.node.test_containers import Object, field, run
from tests.conformance.workload import execute, is_ready, pod_spec, settled
from tests.e2e.conftest import Cluster, until

PREFIXES = ("", "1-", "$_-", "a.b", "p_")


@pytest.mark.parametrize(
    ("plural", "kind", "reference"),
    [("configmaps", "ConfigMap", "configMapRef"), ("secrets", "Secret", "secretRef")],
    ids=["ConfigMap", "Secrets"],
)
def test_prefixes(client: Client, namespace: str, plural: str, kind: str, reference: str) -> None:
    """[sig-node] ConfigMap, Secrets should be consumable as environment variable names with various prefixes"""
    value = "value-1" if kind == "ConfigMap" else b64encode(b"value-1").decode()
    client.of("v1", plural, kind, namespace).create({"metadata": {"name": "of"}, "data": {"data_1": value}})
    sources = [{"prefix": prefix, reference: {"name": "of"}} for prefix in PREFIXES]
    printed = run(client, namespace, "", command=["env"], envFrom=sources).splitlines()
    assert {f"{prefix}data_1=value-1" for prefix in PREFIXES} <= set(printed)


def test_host_ips(client: Client, namespace: str) -> None:
    """[sig-node] Downward API should provide hostIPs as an env var"""
    printed = run(client, namespace, "echo $HOST_IPS", env=[{"name": "HOST_IPS", **field("status.hostIPs")}])
    (pod,) = client.of("v1", "pods", "Pod", namespace).list()
    assert printed.strip() == ",".join(each["ip"] for each in pod["status"]["hostIPs"])


def test_output(client: Client, namespace: str) -> None:
    """[sig-node] Kubelet when scheduling a busybox command in a pod should print the output to logs"""
    assert run(client, namespace, "echo 'Hello World' ; echo and more >&2") == "Hello World\nand more\n"


def expanding(**annotations: str) -> Object:
    """Its one mount is where its annotation says."""
    spec = pod_spec()
    spec["volumes"] = [{"name": "work", "emptyDir": {}}]
    spec["containers"][0] |= {
        "env": [
            {"name": "POD_NAME", "value": "foo"},
            {"name": "ANNOTATION", **field("metadata.annotations['mysubpath']")},
        ],
        "volumeMounts": [
            {"name": "work", "mountPath": "/subpath_mount", "subPathExpr": "$(ANNOTATION)/$(POD_NAME)"},
            {"name": "work", "mountPath": "/volume_mount"},
        ],
    }
    return {"metadata": {"name": "expands", "annotations": annotations}, "spec": spec}


def test_written_subpath(client: Client, cluster: Cluster, namespace: str) -> None:
    """[sig-node] Variable Expansion should succeed in writing subpaths in container"""
    of = client.of("v1", "pods", "Pod", namespace)
    of.create(expanding(mysubpath="mypath"))
    settled(of, "expands", is_ready)
    execute(cluster, namespace, "expands", "touch", "/volume_mount/mypath/foo/test.log")
    execute(cluster, namespace, "expands", "test", "-f", "/subpath_mount/test.log")
    of.patch("expands", {"metadata": {"annotations": {"mysubpath": "mynewpath"}}})
    settled(of, "expands", is_ready)
    of.delete("expands")
    until("it is gone", lambda: not of.exists("expands"))


def test_mended_subpath(client: Client, namespace: str) -> None:
    """[sig-node] Variable Expansion should verify that a failing subpath expansion can be modified during the
    lifecycle of a container
    """
    of = client.of("v1", "pods", "Pod", namespace)
    of.create(expanding(notmysubpath="mypath"))

    def waits(obj: Object) -> Any:
        states = [each["state"] for each in obj["status"].get("containerStatuses", ())]
        return [each.get("waiting", {}).get("reason") for each in states] == ["CreateContainerConfigError"]

    settled(of, "expands", waits)
    of.patch("expands", {"metadata": {"annotations": {"mysubpath": "mypath"}}})
    settled(of, "expands", is_ready)
    of.delete("expands")
    until("it is gone", lambda: not of.exists("expands"))
