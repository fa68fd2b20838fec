"""test/e2e/scheduling/predicates.go, preemption.go, test/e2e/network/hostport.go, test/e2e/node/taints.go"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conformance.client import Client, Resource
from tests.conformance.workload import condition, is_ready, pod_spec, running, settled, workload
from tests.e2e.conftest import until

Object = dict[str, Any]
SCARCE = "scheduling.k8s.io/foo"


@pytest.fixture
def node(client: Client) -> Iterator[Object]:
    """A node with five pieces of a resource that only these tests ask for; washed afterwards."""
    nodes = client.of("v1", "nodes", "Node")
    name = nodes.list()[0]["metadata"]["name"]
    pieces = {"capacity": {SCARCE: "5"}, "allocatable": {SCARCE: "5"}}
    nodes.patch(name, {"status": pieces}, "strategic", "status")
    until("its resource", lambda: nodes.get(name)["status"]["allocatable"].get(SCARCE) == "5")
    yield nodes.get(name)
    nodes.patch(name, [{"op": "remove", "path": "/status/capacity/scheduling.k8s.io~1foo"}], "json", "status")
    clean = {"metadata": {"labels": {"e2e": None}}, "spec": {"taints": None}}
    nodes.patch(name, clean)


@pytest.fixture
def priorities(client: Client, namespace: str) -> Iterator[Callable[[str], str]]:
    classes = client.of("scheduling.k8s.io/v1", "priorityclasses", "PriorityClass")
    values = {"low": 1, "medium": 100, "high": 1000}
    for name, value in values.items():
        classes.create({"metadata": {"name": f"{namespace}-{name}"}, "value": value})
    yield lambda name: f"{namespace}-{name}"
    for name in values:
        classes.delete(f"{namespace}-{name}")


def wanting(name: str, amount: int, priority: str = "", **spec: Any) -> Object:
    made = pod_spec(**spec)
    made["containers"][0]["resources"] = {"requests": {SCARCE: str(amount)}, "limits": {SCARCE: str(amount)}}
    if priority:
        made["priorityClassName"] = priority
    return {"metadata": {"name": name, "labels": {"name": name}}, "spec": made}


def unschedulable(obj: Object) -> bool:
    return condition(obj, "PodScheduled").get("reason") == "Unschedulable"


def test_resource_limits(client: Client, namespace: str, node: Object) -> None:
    """[sig-scheduling] SchedulerPredicates [Serial] validates resource limits of pods that are allowed to run"""
    pods = client.of("v1", "pods", "Pod", namespace)
    pods.create(wanting("fills", 4))
    assert settled(pods, "fills", is_ready)["spec"]["nodeName"] == node["metadata"]["name"]
    pods.create(wanting("additional-pod", 2))
    found = settled(pods, "additional-pod", unschedulable)
    assert f"Insufficient {SCARCE}" in condition(found, "PodScheduled")["message"]
    events = client.of("v1", "events", "Event", namespace)
    until(
        "the event",
        lambda: events.list(fieldSelector="reason=FailedScheduling,involvedObject.name=additional-pod"),
    )


def test_node_selector(client: Client, namespace: str, node: Object) -> None:
    """[sig-scheduling] SchedulerPredicates [Serial] validates that NodeSelector is respected if (not) matching"""
    pods = client.of("v1", "pods", "Pod", namespace)
    pods.create({"metadata": {"name": "restricted"}, "spec": pod_spec(nodeSelector={"e2e": namespace})})
    settled(pods, "restricted", unschedulable)
    name = node["metadata"]["name"]
    client.of("v1", "nodes", "Node").patch(name, {"metadata": {"labels": {"e2e": namespace}}})
    assert settled(pods, "restricted", is_ready)["spec"]["nodeName"] == name


def port_pod(name: str, node: Object, address: str, protocol: str, port: int) -> Object:
    made = pod_spec(
        nodeSelector={"kubernetes.io/hostname": node["metadata"]["labels"]["kubernetes.io/hostname"]}
    )
    made["containers"][0]["ports"] = [
        {"hostPort": port, "containerPort": 8080, "protocol": protocol, "hostIP": address}
    ]
    return {"metadata": {"name": name}, "spec": made}


def test_host_ports(client: Client, namespace: str, node: Object) -> None:
    """[sig-scheduling] SchedulerPredicates [Serial] validates that there exists conflict between pods with same
    hostPort and protocol but one using 0.0.0.0 hostIP · [sig-network] HostPort validates that there is no conflict
    between pods with same hostPort but different hostIP and protocol
    """
    pods = client.of("v1", "pods", "Pod", namespace)
    pods.create(port_pod("pod1", node, "127.0.0.1", "TCP", 54321))
    settled(pods, "pod1", is_ready)
    pods.create(port_pod("pod2", node, "127.0.0.1", "UDP", 54321))
    settled(pods, "pod2", lambda obj: obj["spec"].get("nodeName"))
    pods.create(port_pod("pod3", node, "0.0.0.0", "TCP", 54321))
    settled(pods, "pod3", unschedulable)


def test_basic_preemption(
    client: Client, namespace: str, node: Object, priorities: Callable[[str], str]
) -> None:
    """[sig-scheduling] SchedulerPreemption [Serial] validates basic preemption works · validates lower priority pod
    preemption by critical pod · validates pod disruption condition is added to the preempted pod
    """
    pods = client.of("v1", "pods", "Pod", namespace)
    low = wanting("low", 3, priorities("low"))
    low["metadata"]["finalizers"] = ["example.com/test-finalizer"]
    pods.create(low)
    pods.create(wanting("medium", 2, priorities("medium")))
    for name in ("low", "medium"):
        settled(pods, name, is_ready)
    pods.create(wanting("preemptor", 3, priorities("high")))
    marked = settled(pods, "low", lambda obj: condition(obj, "DisruptionTarget"))
    assert condition(marked, "DisruptionTarget")["status"] == "True"
    assert condition(marked, "DisruptionTarget")["reason"] == "PreemptionByScheduler"
    settled(pods, "low", lambda obj: obj["metadata"].get("deletionTimestamp"))
    pods.change("low", lambda obj: obj["metadata"].update(finalizers=[]))
    settled(pods, "preemptor", is_ready)
    assert "deletionTimestamp" not in pods.get("medium")["metadata"]
    system: Resource = client.of("v1", "pods", "Pod", "kube-system")
    system.create(wanting("critical-pod", 2, "system-cluster-critical"))
    settled(system, "critical-pod", is_ready)
    assert not pods.exists("medium")
    system.delete("critical-pod", gracePeriodSeconds=0)


def test_preemption_path(
    client: Client, namespace: str, node: Object, priorities: Callable[[str], str]
) -> None:
    """[sig-scheduling] SchedulerPreemption [Serial] PreemptionExecutionPath runs ReplicaSets to verify preemption
    running path
    """
    sets = client.of("apps/v1", "replicasets", "ReplicaSet", namespace)
    for name, replicas, priority in (("rs-pod1", 2, "low"), ("rs-pod2", 2, "medium"), ("rs-pod3", 1, "high")):
        made = workload(name, replicas)
        made["spec"]["template"]["spec"] = wanting("", 1, priorities(priority))["spec"]
        sets.create(made)
        running(client, namespace, f"name={name}", replicas)
    pods = client.of("v1", "pods", "Pod", namespace)
    pods.create(wanting("rs-pod4", 2, priorities("high")))
    settled(pods, "rs-pod4", is_ready)
    settled(sets, "rs-pod1", lambda obj: not obj["status"].get("readyReplicas"))
    for name, replicas in (("rs-pod2", 2), ("rs-pod3", 1)):
        assert sets.get(name)["status"]["readyReplicas"] == replicas


def test_no_execute_taints(client: Client, namespace: str, node: Object) -> None:
    """[sig-node] NoExecuteTaintManager Multiple Pods [Serial] evicts pods with minTolerationSeconds · Single Pod
    [Serial] removing taint cancels eviction
    """
    pods = client.of("v1", "pods", "Pod", namespace)
    name = node["metadata"]["name"]
    taint = {"key": "kubernetes.io/e2e-evict-taint-key", "value": "evictTaintVal", "effect": "NoExecute"}
    for pod, seconds in (("short", 1), ("long", 60), ("none", None)):
        toleration = {
            "key": taint["key"],
            "value": taint["value"],
            "effect": "NoExecute",
            "operator": "Equal",
        }
        tolerations = [] if seconds is None else [{**toleration, "tolerationSeconds": seconds}]
        pods.create({"metadata": {"name": pod}, "spec": pod_spec(nodeName=name, tolerations=tolerations)})
        settled(pods, pod, is_ready)
    nodes = client.of("v1", "nodes", "Node")
    nodes.change(name, lambda obj: obj["spec"].setdefault("taints", []).append(taint))
    until("short and none go", lambda: not pods.exists("short") and not pods.exists("none"))
    nodes.change(name, lambda obj: obj["spec"].update(taints=[]))
    assert is_ready(pods.get("long"))
