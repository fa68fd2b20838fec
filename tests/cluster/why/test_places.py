"""Services, nodes and namespaces."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.why.build import ago, check, condition, lease, node, obj, pod, waiting, why

Objects = dict[str, list[dict[str, Any]]]

SELECTING = obj("web", spec={"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]})
NAMED = {"containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 80}]}]}
SLICE = obj("web-1", labels={"kubernetes.io/service-name": "web"}) | {
    "endpoints": [{"conditions": {"ready": True}}]
}
SERVICES = [
    pytest.param(
        {
            "services": [SELECTING],
            "pods": [pod(labels={"app": "web"}, spec=NAMED)],
            "endpointslices": [SLICE],
        },
        "has 1 ready endpoint",
        "",
        id="well",
    ),
    pytest.param(
        {"services": [SELECTING], "pods": [pod(labels={"app": "wep"})]},
        "no pod has that pod/p comes near: app=wep",
        "labels app=web",
        id="no pod matches",
    ),
    pytest.param(
        {
            "services": [SELECTING],
            "pods": [pod(labels={"app": "web"}, status=waiting("ErrImagePull"), spec=NAMED)],
        },
        "matches 1 pod, none of which is ready | pod/p cannot start",
        "correct the image",
        id="none ready",
    ),
    pytest.param(
        {"services": [SELECTING], "pods": [pod(labels={"app": "web"})]},
        "targetPort 'http'",
        "correct targetPort",
        id="port that is not there",
    ),
    pytest.param(
        {
            "services": [obj("web", spec={**SELECTING["spec"], "type": "LoadBalancer"})],
            "pods": [pod(labels={"app": "web"}, spec=NAMED)],
            "endpointslices": [SLICE],
        },
        "waits for an external address",
        "NodePort",
        id="load balancer",
    ),
    pytest.param({"services": [obj("web")]}, "has no selector", "add a selector", id="no selector"),
]


@pytest.mark.parametrize(("objects", "expected", "step"), SERVICES)
def test_services(objects: Objects, expected: str, step: str) -> None:
    check(why("svc/web", **objects), expected, step)


PRESSED = node()
PRESSED["status"]["conditions"].append(condition("DiskPressure", message="disk is full"))
NODES = [
    pytest.param({}, "has been ready for 60s 0 pods of 110", "", id="ready"),
    pytest.param(
        {"nodes": [node(ready="False")]}, "is not ready (NodeStatusUnknown)", "balsa logs", id="not ready"
    ),
    pytest.param(
        {"nodes": [node(ready="Unknown")], "leases": [lease("node-1", 60)]},
        "agent is not running",
        "balsa status",
        id="silent",
    ),
    pytest.param(
        {"nodes": [node(spec={"unschedulable": True})]},
        "is cordoned",
        "kubectl uncordon node-1",
        id="cordoned",
    ),
    pytest.param(
        {"nodes": [PRESSED]}, "is under DiskPressure disk is full", "free disk space", id="pressure"
    ),
]


@pytest.mark.parametrize(("objects", "expected", "step"), NODES)
def test_nodes(objects: Objects, expected: str, step: str) -> None:
    check(why("node/node-1", **objects), expected, step)


STUCK = obj(
    "default",
    deletionTimestamp=ago(60),
    status={
        "conditions": [
            condition(
                "NamespaceFinalizersRemaining",
                message="Some content in the namespace has finalizers remaining: x/y",
            ),
        ]
    },
)
NAMESPACES = [
    pytest.param({"namespaces": [obj("default")]}, "everything in it is well", "", id="well"),
    pytest.param(
        {"namespaces": [STUCK]}, "finalizers remaining: x/y", "remove the finalizers", id="finalizers"
    ),
    pytest.param(
        {
            "namespaces": [obj("default", deletionTimestamp=ago(60))],
            "pods": [pod(deletionTimestamp=ago(60), finalizers=["x/y"])],
        },
        "pod/p was deleted 60s ago and is still there",
        "the owner of x/y",
        id="a pod that does not go",
    ),
    pytest.param(
        {
            "namespaces": [obj("default")],
            "pods": [pod(f"p{n}", status=waiting("ErrImagePull")) for n in range(3)],
        },
        "and 2 more like it",
        "correct the image",
        id="what is not well, grouped",
    ),
]


@pytest.mark.parametrize(("objects", "expected", "step"), NAMESPACES)
def test_namespaces(objects: Objects, expected: str, step: str) -> None:
    check(why("ns/default", **objects), expected, step)
