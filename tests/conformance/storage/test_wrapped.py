"""test/e2e/storage: subpath.go, empty_dir_wrapper.go; test/e2e/common/storage: several volumes of one source;
test/e2e/auth/service_accounts.go: the volumes of tokens
"""

from __future__ import annotations

import base64
import json

import pytest

from tests.conformance.client import Client
from tests.conformance.storage.test_volumes import DOWNWARD, SOURCES, Object, fill, run
from tests.conformance.workload import finished, is_ready, logs, pod_spec, running, settled, workload

MAPS, PODS = 50, 5
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def test_sub_path_over_a_file(client: Client, namespace: str) -> None:
    """[sig-storage] Subpath Atomic writer volumes should support subpaths with configmap pod with mountPath of
    existing file
    """
    fill(client, namespace)
    mount = {"mountPath": "/etc/resolv.conf", "subPath": "data-1"}
    assert run(client, namespace, "cat /etc/resolv.conf", SOURCES["configMap"], mount=mount) == ["value-1"]


def test_sub_path_of_the_downward_api(client: Client, namespace: str) -> None:
    """[sig-storage] Subpath Atomic writer volumes should support subpaths with downward pod"""
    mount = {"mountPath": "/v/one", "subPath": DOWNWARD[0]["path"]}
    (name,) = run(client, namespace, "cat /v/one", {"downwardAPI": {"items": DOWNWARD[:1]}}, mount=mount)
    assert name.startswith("volume-")


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_twice_in_a_pod(client: Client, namespace: str, source: Object) -> None:
    """[sig-storage] (Projected) ConfigMap, Secrets should be consumable in multiple volumes in the same pod"""
    fill(client, namespace)
    made = pod_spec(["sh", "-c", "cat /one/data-1 /two/data-1"], restartPolicy="Never")
    made["containers"][0]["volumeMounts"] = [{"name": n, "mountPath": f"/{n}"} for n in ("one", "two")]
    made["volumes"] = [{"name": name, **source} for name in ("one", "two")]
    client.of("v1", "pods", "Pod", namespace).create({"metadata": {"name": "twice"}, "spec": made})
    finished(client, namespace, "twice")
    assert logs(client, namespace, "twice") == "value-1value-1"


def test_secret_beside_a_map(client: Client, namespace: str) -> None:
    """[sig-storage] EmptyDir wrapper volumes should not conflict"""
    fill(client, namespace)
    made = pod_spec()
    volumes = {"secret": SOURCES["secret"], "map": SOURCES["configMap"]}
    made["containers"][0]["volumeMounts"] = [{"name": n, "mountPath": f"/etc/{n}"} for n in volumes]
    made["volumes"] = [{"name": name, **source} for name, source in volumes.items()]
    of = client.of("v1", "pods", "Pod", namespace)
    of.create({"metadata": {"name": "beside"}, "spec": made})
    settled(of, "beside", is_ready)


def test_many_maps(client: Client, namespace: str) -> None:
    """[sig-storage] EmptyDir wrapper volumes should not cause race condition when used for configmaps"""
    maps = client.of("v1", "configmaps", "ConfigMap", namespace)
    names = [f"racey-{number}" for number in range(MAPS)]
    for name in names:
        maps.create({"metadata": {"name": name}, "data": {"data-1": "value-1"}})
    made = workload("racey", PODS)
    made["spec"]["selector"] = {"name": "racey"}
    spec = made["spec"]["template"]["spec"]
    items = [{"key": "data-1", "path": "data-1"}]
    spec["volumes"] = [{"name": name, "configMap": {"name": name, "items": items}} for name in names]
    mounts = [{"name": name, "mountPath": f"/etc/config-{number}"} for number, name in enumerate(names)]
    spec["containers"][0]["volumeMounts"] = mounts
    client.of("v1", "replicationcontrollers", "ReplicationController", namespace).create(made)
    running(client, namespace, "name=racey", PODS)


def claims(token: str) -> Object:
    found: Object = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return found


def test_token_of_the_account(client: Client, namespace: str) -> None:
    """[sig-auth] ServiceAccounts should mount an API token into pods"""
    script = f"cd {ACCOUNT}; cat token; echo; cat namespace; echo; cat ca.crt"
    token, shown, *root = run(client, namespace, script, {"emptyDir": {}})
    (pod,) = client.of("v1", "pods", "Pod", namespace).list()
    assert shown == namespace
    maps = client.of("v1", "configmaps", "ConfigMap", namespace)
    assert root == maps.get("kube-root-ca.crt")["data"]["ca.crt"].splitlines()
    reviews = client.of("authentication.k8s.io/v1", "tokenreviews", "TokenReview")
    user = reviews.create({"spec": {"token": token}})["status"]["user"]
    assert user["username"] == f"system:serviceaccount:{namespace}:default"
    accounts = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    assert {"system:authenticated", *accounts} <= set(user["groups"])
    extra = {key.removeprefix("authentication.kubernetes.io/"): value for key, value in user["extra"].items()}
    (credential,) = extra.pop("credential-id")
    assert credential.startswith("JTI=")
    node = client.of("v1", "nodes", "Node").get(pod["spec"]["nodeName"])
    assert extra == {
        f"{kind}-{key}": [obj["metadata"][key]]
        for kind, obj in (("pod", pod), ("node", node))
        for key in ("name", "uid")
    }


def test_projected_token(client: Client, namespace: str) -> None:
    """[sig-auth] ServiceAccounts should mount projected service account token"""
    source = {"serviceAccountToken": {"path": "token", "expirationSeconds": 86400, "audience": "another"}}
    (token,) = run(client, namespace, "cat /v/token", {"projected": {"sources": [source]}})
    assert claims(token)["aud"] == ["another"]
    assert claims(token)["exp"] - claims(token)["iat"] == 86400
