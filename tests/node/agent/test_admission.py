"""What a node refuses, by cases."""

from __future__ import annotations

from typing import Any

import pytest

from node.agent import admission, dynamic_resources
from node.agent.errors import Rejected
from tests.node.agent.conftest import make_pod

Obj = dict[str, Any]


def node(**spec: Any) -> Obj:
    return {
        "metadata": {"name": "node-1", "labels": {"disk": "ssd", "size": "4"}},
        "spec": spec,
        "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "3"}},
    }


def asking(cpu: str = "0", name: str = "web", **container: Any) -> Obj:
    return make_pod(name, containers=[{"name": "main", "resources": {"requests": {"cpu": cpu}}, **container}])


def affinity(*expressions: Obj) -> Obj:
    terms = [{"matchExpressions": list(expressions)}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    return make_pod(affinity={"nodeAffinity": required})


def port(number: int, address: str = "") -> Obj:
    return {"ports": [{"containerPort": 80, "hostPort": number, **({"hostIP": address} if address else {})}]}


@pytest.mark.parametrize(
    ("pod", "others"),
    [
        pytest.param(asking("2"), [], id="exactly what there is"),
        pytest.param(make_pod(nodeSelector={"disk": "ssd"}), [], id="selector"),
        pytest.param(affinity({"key": "size", "operator": "Gt", "values": ["3"]}), [], id="affinity Gt"),
        pytest.param(affinity({"key": "gpu", "operator": "DoesNotExist"}), [], id="affinity DoesNotExist"),
        pytest.param(
            asking(**port(80, "1.2.3.4")), [asking(name="x", **port(80, "1.2.3.5"))], id="ports apart"
        ),
    ],
)
def test_admitted(pod: Obj, others: list[Obj]) -> None:
    admission.admit(pod, node(), others)


@pytest.mark.parametrize(
    ("pod", "others", "reason", "message"),
    [
        pytest.param(
            asking("1500m"), [asking("600m", "x")], "OutOfcpu",
            "Node didn't have enough resource: cpu, requested: 1500, used: 600, capacity: 2000", id="cpu",
        ),
        pytest.param(
            make_pod(), [make_pod(f"p{index}") for index in range(3)], "OutOfpods",
            "Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3", id="pods",
        ),
        pytest.param(
            make_pod(nodeSelector={"disk": "hdd"}), [], "NodeAffinity",
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector", id="selector",
        ),
        pytest.param(
            asking(**port(80)), [asking(name="x", **port(80, "1.2.3.4"))], "NodePorts",
            "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports", id="port",
        ),
        pytest.param(
            make_pod(os={"name": "windows"}), [], "PodOSNotSupported",
            "Failed to admit pod as the OS field doesn't match node OS", id="os",
        ),
    ],
)  # fmt: skip
def test_rejected(pod: Obj, others: list[Obj], reason: str, message: str) -> None:
    with pytest.raises(Rejected) as raised:
        admission.admit(pod, node(), others)
    assert (raised.value.reason, str(raised.value)) == (reason, message)


@pytest.mark.parametrize(
    ("toleration", "admitted"),
    [
        (None, False),
        ({"operator": "Exists"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "value": "w"}, False),
        ({"key": "k", "operator": "Exists", "effect": "NoSchedule"}, False),
    ],
    ids=["none", "any", "equal", "another value", "another effect"],
)
def test_no_execute_taints(toleration: Obj | None, admitted: bool) -> None:
    tainted = node(taints=[{"key": "k", "value": "v", "effect": "NoExecute"}])
    pod = make_pod(tolerations=[toleration] if toleration else [])
    if admitted:
        admission.admit(pod, tainted, [])
    else:
        with pytest.raises(Rejected):
            admission.admit(pod, tainted, [])


GPU = {"resources": {"requests": {"example.com/gpu": "1"}}}


def test_a_resource_that_devices_stand_for_needs_no_capacity() -> None:
    pod = make_pod(containers=[{"name": "main", **GPU}])
    with pytest.raises(Rejected, match=r"example\.com/gpu"):
        admission.admit(pod, node(), [])
    mapping = {
        "containerName": "main",
        "resourceName": "example.com/gpu",
        "requestName": "container-0-request-0",
    }
    names = {"resourceClaimName": "web-extended-resources-x", "requestMappings": [mapping]}
    pod["status"] = {**pod.get("status", {}), "extendedResourceClaimStatus": names}
    admission.admit(pod, node(), [])
    assert "web-extended-resources-x" in dynamic_resources.unprepared(pod)
