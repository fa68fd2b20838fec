"""test/e2e/common/storage: configmap_volume.go, secrets_volume.go, downwardapi_volume.go, empty_dir.go,
projected_*.go; test/e2e/storage/subpath.go
"""

from __future__ import annotations

import os
from base64 import b64encode
from typing import Any

import pytest

from tests.conformance.client import Client
from tests.conformance.workload import execute, finished, is_ready, logs, pod_spec, settled
from tests.e2e.conftest import Cluster, until

Object = dict[str, Any]
MODE = "stat -L -c %a "


def run(client: Client, namespace: str, script: str, volume: Object, **spec: Any) -> list[str]:
    """What the script prints of the volume at /v, line by line."""
    mount = spec.pop("mount", {})
    made = pod_spec(["sh", "-c", script], restartPolicy="Never", **spec)
    made["containers"][0] |= {
        "volumeMounts": [{"name": "v", "mountPath": "/v", **mount}],
        "resources": {
            "requests": {"cpu": "250m", "memory": "32Mi"},
            "limits": {"cpu": "1250m", "memory": "64Mi"},
        },
    }
    made["volumes"] = [{"name": "v", **volume}]
    of = client.of("v1", "pods", "Pod", namespace)
    metadata = {"generateName": "volume-", "labels": {"a": "b"}, "annotations": {"c": "d"}}
    name = of.create({"metadata": metadata, "spec": made})["metadata"]["name"]
    finished(client, namespace, name)
    return logs(client, namespace, name).splitlines()


def fill(client: Client, namespace: str) -> None:
    client.of("v1", "configmaps", "ConfigMap", namespace).create(
        {
            "metadata": {"name": "filled"},
            "data": {"data-1": "value-1", "data-2": "value-2"},
            "binaryData": {"dump.bin": b64encode(b"\xde\xad").decode()},
        }
    )
    client.of("v1", "secrets", "Secret", namespace).create(
        {"metadata": {"name": "filled"}, "data": {"data-1": b64encode(b"value-1").decode()}}
    )


ITEMS = [{"key": "data-1", "path": "path/to/data", "mode": 0o400}]
SOURCES: dict[str, Object] = {
    "configMap": {"configMap": {"name": "filled"}},
    "secret": {"secret": {"secretName": "filled"}},
    "projected configMap": {"projected": {"sources": [{"configMap": {"name": "filled"}}]}},
    "projected secret": {"projected": {"sources": [{"secret": {"name": "filled"}}]}},
}


def with_items(source: Object, items: list[Object]) -> Object:
    (kind,) = source
    if kind != "projected":
        return {kind: {**source[kind], "items": items}}
    ((name, part),) = source["projected"]["sources"][0].items()
    return {"projected": {"sources": [{name: {**part, "items": items}}]}}


def with_mode(source: Object, mode: int) -> Object:
    (kind,) = source
    return {kind: {**source[kind], "defaultMode": mode}}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_consumed(client: Client, namespace: str, source: Object) -> None:
    """[sig-storage] ConfigMap, Secrets, Projected configMap, Projected secret should be consumable from pods in
    volume (, with defaultMode set, with mappings and Item mode set, as non-root)
    """
    fill(client, namespace)
    assert run(client, namespace, f"cat /v/data-1; echo; {MODE} /v/data-1", source) == ["value-1", "644"]
    read_only = with_mode(source, 0o400)
    assert run(client, namespace, f"cat /v/data-1; echo; {MODE} /v/data-1", read_only) == ["value-1", "400"]
    mapped = with_items(source, ITEMS)
    script = f"cat /v/path/to/data; echo; {MODE} /v/path/to/data; ls /v"
    assert run(client, namespace, script, mapped) == ["value-1", "400", "path"]
    user = {"runAsUser": 1000}
    assert run(client, namespace, "cat /v/data-1; id -u", source, securityContext=user) == ["value-11000"]


def test_binary_data(client: Client, namespace: str) -> None:
    """[sig-storage] ConfigMap binary data should be reflected in volume"""
    fill(client, namespace)
    printed = run(client, namespace, "cat /v/data-1; echo; od -An -tx1 /v/dump.bin", SOURCES["configMap"])
    assert printed[0] == "value-1"
    assert bytes.fromhex("".join(printed[1:]).replace(" ", "")) == b"\xde\xad"


def test_group_and_mode(client: Client, namespace: str) -> None:
    """[sig-storage] (Projected) Secrets should be consumable from pods in volume as non-root with defaultMode and
    fsGroup set
    """
    fill(client, namespace)
    context = {"runAsUser": 1000, "fsGroup": 1001}
    script = f"cat /v/data-1; echo; {MODE} /v/data-1; stat -L -c %g /v/data-1"
    printed = run(client, namespace, script, with_mode(SOURCES["secret"], 0o440), securityContext=context)
    assert printed[:2] == ["value-1", "440"]
    if os.geteuid() == 0:  # an ordinary user has one group to give
        assert printed[2] == "1001"


DOWNWARD = [
    {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}},
    {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}, "mode": 0o400},
    {"path": "annotations", "fieldRef": {"fieldPath": "metadata.annotations"}},
    {"path": "cpu_limit", "resourceFieldRef": {"containerName": "main", "resource": "limits.cpu"}},
    {"path": "cpu_request", "resourceFieldRef": {"containerName": "main", "resource": "requests.cpu"}},
    {"path": "memory_limit", "resourceFieldRef": {"containerName": "main", "resource": "limits.memory"}},
]


@pytest.mark.parametrize("projected", [False, True], ids=["downwardAPI", "projected"])
def test_downward_api(client: Client, namespace: str, projected: bool) -> None:
    """[sig-storage] (Projected) Downward API volume should provide podname only, container's cpu limit, cpu
    request, memory limit; should set mode on item file
    """
    part = {"downwardAPI": {"items": DOWNWARD}}
    volume = {"projected": {"sources": [part]}} if projected else part
    script = (
        "cd /v; for f in name labels annotations cpu_limit cpu_request memory_limit; do cat $f; echo; done; "
    )
    printed = run(client, namespace, f"{script} {MODE} labels; {MODE} name", volume)
    (pod,) = client.of("v1", "pods", "Pod", namespace).list()
    assert printed[0] == pod["metadata"]["name"]
    assert printed[1] == 'a="b"'
    assert 'c="d"' in printed
    assert printed[-5:] == ["2", "1", "67108864", "400", "644"]


@pytest.mark.parametrize("medium", ["", "Memory"], ids=["default", "tmpfs"])
@pytest.mark.parametrize("user", [0, 1001], ids=["root", "non-root"])
def test_empty_dir(client: Client, namespace: str, medium: str, user: int) -> None:
    """[sig-storage] EmptyDir volumes should support (root|non-root,0644|0666|0777,default|tmpfs); should have the
    correct mode
    """
    script = (
        f"{MODE} /v; umask 0; for m in 644 666 777; do echo x > /v/$m; chmod $m /v/$m; {MODE} /v/$m; done; "
    )
    script += "stat -f -c %T /v"
    printed = run(
        client, namespace, script, {"emptyDir": {"medium": medium}}, securityContext={"runAsUser": user}
    )
    assert printed[:4] == ["777", "644", "666", "777"]
    assert (printed[4] == "tmpfs") == (medium == "Memory")


def test_shared_empty_dir(client: Client, cluster: Cluster, namespace: str) -> None:
    """[sig-storage] EmptyDir volumes pod should support shared volumes between containers"""
    made = pod_spec()
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    writer = {
        **made["containers"][0],
        **mount,
        "name": "writer",
        "command": ["sh", "-c", "echo hello > /v/f; sleep 99"],
    }
    made["containers"] = [{**made["containers"][0], **mount}, writer]
    made["volumes"] = [{"name": "v", "emptyDir": {}}]
    of = client.of("v1", "pods", "Pod", namespace)
    of.create({"metadata": {"name": "shares"}, "spec": made})
    settled(of, "shares", is_ready)
    until(
        "the file",
        lambda: (
            "hello" in execute(cluster, namespace, "shares", "sh", "-c", "cat /v/f || true", container="main")
        ),
    )


@pytest.mark.parametrize("source", [*SOURCES.values()][:3], ids=[*SOURCES][:3])
def test_sub_paths(client: Client, namespace: str, source: Object) -> None:
    """[sig-storage] Subpath Atomic writer volumes should support subpaths with configmap, secret, projected pod"""
    fill(client, namespace)
    mount = {"mountPath": "/v/one", "subPath": "data-1"}
    assert run(client, namespace, "cat /v/one", source, mount=mount) == ["value-1"]


def test_all_components(client: Client, namespace: str) -> None:
    """[sig-storage] Projected combined should project all components that make up the projection API"""
    fill(client, namespace)
    parts = [
        {"configMap": {"name": "filled", "items": [{"key": "data-2", "path": "map"}]}},
        {"secret": {"name": "filled", "items": [{"key": "data-1", "path": "secret"}]}},
        {"downwardAPI": {"items": DOWNWARD[:1]}},
    ]
    script = "cat /v/map; echo; cat /v/secret; echo; cat /v/name"
    printed = run(client, namespace, script, {"projected": {"sources": parts}})
    assert printed[:2] == ["value-2", "value-1"]
    assert printed[2].startswith("volume-")


def test_updates_are_seen(client: Client, cluster: Cluster, namespace: str) -> None:
    """[sig-storage] ConfigMap, Secrets, Projected … (optional) updates should be reflected in volume · Downward API
    volume should update labels, annotations on modification
    """
    fill(client, namespace)
    parts = [
        {"configMap": {"name": "filled"}},
        {"secret": {"name": "later", "optional": True}},
        {"downwardAPI": {"items": DOWNWARD[1:2]}},
    ]
    made = pod_spec()
    made["containers"][0]["volumeMounts"] = [{"name": "v", "mountPath": "/v"}]
    made["volumes"] = [{"name": "v", "projected": {"sources": parts}}]
    of = client.of("v1", "pods", "Pod", namespace)
    of.create({"metadata": {"name": "watches", "labels": {"a": "b"}}, "spec": made})
    settled(of, "watches", is_ready)

    def shows(text: str, name: str) -> bool:
        return text in execute(cluster, namespace, "watches", "sh", "-c", f"cat /v/{name} || true")

    assert shows("value-1", "data-1")
    client.of("v1", "configmaps", "ConfigMap", namespace).patch(
        "filled", {"data": {"data-1": "value-9", "data-2": None}}
    )
    client.of("v1", "secrets", "Secret", namespace).create(
        {"metadata": {"name": "later"}, "data": {"created": b64encode(b"value-3").decode()}}
    )
    of.patch("watches", {"metadata": {"labels": {"a": "changed"}}})
    for text, name in (("value-9", "data-1"), ("value-3", "created"), ('a="changed"', "labels")):
        until(f"{text} in {name}", lambda text=text, name=name: shows(text, name), timeout_s=90)
    assert not shows("value-2", "data-2")


def test_same_name_elsewhere(client: Client, new_namespace: Any) -> None:
    """[sig-storage] Secrets should be able to mount in a volume regardless of a different secret existing with same
    name in different namespace
    """
    one, two = new_namespace(), new_namespace()
    fill(client, one)
    client.of("v1", "secrets", "Secret", two).create(
        {"metadata": {"name": "filled"}, "data": {"data-1": b64encode(b"other").decode()}}
    )
    assert run(client, one, "cat /v/data-1", SOURCES["secret"]) == ["value-1"]
