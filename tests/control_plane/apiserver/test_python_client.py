"""The official Python client against the API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client, config, watch

from tests.control_plane.apiserver.harness import Harness


@pytest.fixture
def core(api: Harness) -> Iterator[client.CoreV1Api]:
    made: Any = config.new_client_from_config(str(api.directory / "pki" / "admin.kubeconfig"))
    yield client.CoreV1Api(made)
    made.close()


def test_the_life_of_a_config_map(core: client.CoreV1Api, namespace: str) -> None:
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="py"), data={"a": "b"})
    made = core.create_namespaced_config_map(namespace, body)
    assert made.metadata.uid
    assert core.read_namespaced_config_map("py", namespace).data == {"a": "b"}
    assert core.patch_namespaced_config_map("py", namespace, {"data": {"a": "c"}}).data == {"a": "c"}
    made.data = {"a": "stale"}
    with pytest.raises(client.ApiException) as refused:
        core.replace_namespaced_config_map("py", namespace, made)
    assert refused.value.status == 409
    names = [item.metadata.name for item in core.list_namespaced_config_map(namespace).items]
    assert names == ["py"]
    assert core.delete_namespaced_config_map("py", namespace)["status"] == "Success"


def test_watch(core: client.CoreV1Api, namespace: str) -> None:
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="w"))
    core.create_namespaced_config_map(namespace, body)
    seen = [
        (event["type"], event["object"].metadata.name)
        for event in watch.Watch().stream(core.list_namespaced_config_map, namespace, timeout_seconds=1)
    ]
    assert seen == [("ADDED", "w")]


def test_a_pod_and_its_binding(core: client.CoreV1Api, namespace: str) -> None:
    container = client.V1Container(name="c", image="busybox", resources={"requests": {"cpu": "100m"}})
    spec = client.V1PodSpec(containers=[container])
    pod = client.V1Pod(metadata=client.V1ObjectMeta(generate_name="p-"), spec=spec)
    name = core.create_namespaced_pod(namespace, pod).metadata.name
    target = client.V1ObjectReference(kind="Node", name="n1")
    binding = client.V1Binding(metadata=client.V1ObjectMeta(name=name), target=target)
    core.create_namespaced_pod_binding(name, namespace, binding, _preload_content=False)
    assert core.read_namespaced_pod(name, namespace).spec.node_name == "n1"
    assert core.delete_namespaced_pod(name, namespace, grace_period_seconds=0).metadata.name == name


def test_pages(core: client.CoreV1Api, namespace: str) -> None:
    for index in range(5):
        body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name=f"c{index}"))
        core.create_namespaced_config_map(namespace, body)
    first = core.list_namespaced_config_map(namespace, limit=3)
    rest = core.list_namespaced_config_map(namespace, limit=3, _continue=first.metadata._continue)
    assert [item.metadata.name for item in (*first.items, *rest.items)] == [f"c{i}" for i in range(5)]
    core.delete_collection_namespaced_config_map(namespace)
    assert core.list_namespaced_config_map(namespace).items == []
