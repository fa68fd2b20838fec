"""test/e2e/apps/daemon_set.go: what happens to pods"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.client import Client, Resource
from tests.conformance.workload import is_ready, pods_of, settled, template
from tests.e2e.conftest import until

Object = dict[str, Any]
LABEL = {"daemonset-name": "daemon-set"}
SELECTOR = "daemonset-name=daemon-set"
COLOR = "daemonset-color"


def make(client: Client, namespace: str, **spec: Any) -> Resource:
    of = client.of("apps/v1", "daemonsets", "DaemonSet", namespace)
    made = {"selector": {"matchLabels": LABEL}, "template": template(LABEL), **spec}
    of.create({"metadata": {"name": "daemon-set"}, "spec": made})
    return of


def nodes(client: Client) -> list[str]:
    return [each["metadata"]["name"] for each in client.of("v1", "nodes", "Node").list()]


def on(client: Client, namespace: str, *wanted: str) -> list[Object]:
    """As soon as a ready pod runs on each of these nodes, and on no other."""

    def check() -> bool:
        found = pods_of(client, namespace, SELECTOR)
        return sorted(pod["spec"].get("nodeName", "") for pod in found) == sorted(wanted) and all(
            map(is_ready, found)
        )

    until(f"daemons on {wanted}", check)
    return pods_of(client, namespace, SELECTOR)


@pytest.fixture
def colours(client: Client) -> Iterator[Resource]:
    """Nodes, whose colours are washed off afterwards."""
    of = client.of("v1", "nodes", "Node")
    yield of
    for name in nodes(client):
        of.patch(name, {"metadata": {"labels": {COLOR: None}}})


def test_simple(client: Client, namespace: str) -> None:
    """[sig-apps] Daemon set [Serial] should run and stop simple daemon"""
    make(client, namespace)
    first = on(client, namespace, *nodes(client))[0]["metadata"]
    client.of("v1", "pods", "Pod", namespace).delete(first["name"])
    until("it is replaced", lambda: first["uid"] not in uids(client, namespace))
    on(client, namespace, *nodes(client))


def uids(client: Client, namespace: str) -> set[str]:
    return {pod["metadata"]["uid"] for pod in pods_of(client, namespace, SELECTOR)}


def test_complex(client: Client, namespace: str, colours: Resource) -> None:
    """[sig-apps] Daemon set [Serial] should run and stop complex daemon"""
    made = template(LABEL)
    made["spec"]["nodeSelector"] = {COLOR: "blue"}
    of = make(client, namespace, template=made)
    settled(of, "daemon-set", lambda obj: obj["status"].get("observedGeneration") == 1)
    assert on(client, namespace) == []
    node = nodes(client)[0]
    colours.patch(node, {"metadata": {"labels": {COLOR: "blue"}}})
    on(client, namespace, node)
    colours.patch(node, {"metadata": {"labels": {COLOR: "green"}}})
    on(client, namespace)
    patch = {
        "spec": {
            "template": {"spec": {"nodeSelector": {COLOR: "green"}}},
            "updateStrategy": {"type": "RollingUpdate"},
        }
    }
    of.patch("daemon-set", patch, "strategic")
    on(client, namespace, node)


def test_failed_pod(client: Client, namespace: str) -> None:
    """[sig-apps] Daemon set [Serial] should retry creating failed daemon pods"""
    make(client, namespace)
    pods = client.of("v1", "pods", "Pod", namespace)
    name = on(client, namespace, *nodes(client))[0]["metadata"]["name"]
    pods.change(name, lambda obj: obj["status"].update(phase="Failed"), "status")
    until("the failed one is gone", lambda: not pods.exists(name))
    on(client, namespace, *nodes(client))


def test_rolling_update(client: Client, namespace: str) -> None:
    """[sig-apps] Daemon set [Serial] should update pod when spec was updated and update strategy is
    RollingUpdate
    """
    of = make(client, namespace, updateStrategy={"type": "RollingUpdate"})
    first = on(client, namespace, *nodes(client))
    revisions = client.of("apps/v1", "controllerrevisions", "ControllerRevision", namespace)
    (revision,) = revisions.list(labelSelector=SELECTOR)
    digest = revision["metadata"]["labels"]["controller-revision-hash"]
    assert {pod["metadata"]["labels"]["controller-revision-hash"] for pod in first} == {digest}
    assert revision["revision"] == 1
    container = {"name": "main", "image": "agnhost"}
    of.patch("daemon-set", {"spec": {"template": {"spec": {"containers": [container]}}}}, "strategic")

    def updated() -> bool:
        found = pods_of(client, namespace, SELECTOR)
        return len(found) == len(first) and all(
            pod["spec"]["containers"][0]["image"] == "agnhost" and is_ready(pod) for pod in found
        )

    until("the update", updated)
    assert sorted(each["revision"] for each in revisions.list(labelSelector=SELECTOR)) == [1, 2]


def test_roll_back(client: Client, namespace: str) -> None:
    """[sig-apps] Daemon set [Serial] should rollback without unnecessary restarts"""
    of = make(client, namespace, updateStrategy={"type": "RollingUpdate"})
    on(client, namespace, *nodes(client))
    before = uids(client, namespace)

    def set_image(image: str) -> None:
        def edit(obj: Object) -> None:
            obj["spec"]["template"]["spec"]["containers"][0] |= {"image": image, "imagePullPolicy": "Never"}
            if image == "foo:non-existent":
                obj["spec"]["template"]["spec"]["containers"][0].pop("command")
            else:
                obj["spec"]["template"] = template(LABEL)

        of.change("daemon-set", edit)

    set_image("foo:non-existent")
    until("one is changed", lambda: len(uids(client, namespace) & before) == len(before) - 1)
    kept = uids(client, namespace) & before
    set_image("busybox")
    on(client, namespace, *nodes(client))
    assert kept <= uids(client, namespace)
