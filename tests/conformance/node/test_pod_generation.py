"""test/e2e/node/pods.go: which changes count, and that the node follows them"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.client import Client, Resource
from tests.conformance.node.test_pods import Object, pod, pods_in
from tests.conformance.workload import is_ready, settled

UPDATES = 499
TOLERATION = {"key": "foo", "operator": "Equal", "value": "bar", "effect": "NoSchedule"}


def observed(of: Resource, name: str, generation: int) -> None:
    settled(of, name, lambda obj: obj["status"].get("observedGeneration") == generation)


def made(of: Resource, template: Object) -> Object:
    """As soon as it is ready."""
    of.create(template)
    return settled(of, template["metadata"]["name"], is_ready)


CHANGES: list[tuple[str, Callable[[Object], Any], int]] = [
    ("nothing", lambda obj: None, 0),
    ("tolerations", lambda obj: obj["spec"].update(tolerations=[TOLERATION]), 1),
    ("the deadline", lambda obj: obj["spec"].update(activeDeadlineSeconds=5000), 1),
    ("the image", lambda obj: obj["spec"]["containers"][0].update(image="nginx"), 1),
    ("an init container's image", lambda obj: obj["spec"]["initContainers"][0].update(image="pause"), 1),
    ("an annotation", lambda obj: obj["metadata"].update(annotations={"key": "value"}), 0),
    ("the generation", lambda obj: obj["metadata"].update(generation=1), 0),
]


def test_updates(client: Client, namespace: str) -> None:
    """[sig-node] Pods Extended (pod generation) Pod Generation pod generation should start at 1 and increment per
    update
    """
    of = pods_in(client, namespace)
    template = pod("pod-generation")
    template["spec"]["initContainers"] = [{"name": "init", "image": "busybox", "command": ["true"]}]
    generation = 1
    assert made(of, template)["metadata"]["generation"] == generation
    for words, edit, step in CHANGES:
        of.change("pod-generation", edit)
        generation += step
        assert of.get("pod-generation")["metadata"]["generation"] == generation, words
        observed(of, "pod-generation", generation)


def test_graceful_deletion(client: Client, namespace: str) -> None:
    """[sig-node] Pods Extended (pod generation) Pod Generation custom-set generation on new pods and graceful
    delete
    """
    of = pods_in(client, namespace)
    template = pod("pod-generation", command=["sh", "-c", "trap '' TERM; while :; do sleep 1; done"])
    template["metadata"]["generation"] = 100
    assert made(of, template)["metadata"]["generation"] == 1
    deleted = client.call("DELETE", f"{of.path}/pod-generation", query={"gracePeriodSeconds": "60"})
    assert deleted["metadata"]["deletionGracePeriodSeconds"] == 60
    assert of.get("pod-generation")["metadata"]["generation"] == 2
    of.delete("pod-generation", gracePeriodSeconds=0)


@pytest.mark.slow
def test_many_updates(client: Client, namespace: str) -> None:
    """[sig-node] Pods Extended (pod generation) Pod Generation issue 500 podspec updates and verify generation and
    observedGeneration eventually converge
    """
    of = pods_in(client, namespace)
    made(of, pod("pod-generation", activeDeadlineSeconds=5000))
    for number in range(UPDATES):
        left = 5000 - 1 - number
        of.change("pod-generation", lambda obj, left=left: obj["spec"].update(activeDeadlineSeconds=left))
    observed(of, "pod-generation", UPDATES + 1)
    assert of.get("pod-generation")["metadata"]["generation"] == UPDATES + 1
