"""Tables: what `kubectl get` shows."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from control_plane.api import meta, tables
from control_plane.api.registry import Registry, Resource
from control_plane.api.tables.text import human_duration
from tests.control_plane.api import samples
from tests.control_plane.api.samples import resource

Object = dict[str, Any]
CREATED = "2026-01-01T00:00:00Z"
NOW_S = (meta.parse_time(CREATED) or 0) + 300


def shown(name: str, obj: Object, wide: bool = False) -> list[Any]:
    kind = resource(name)
    obj = {**obj, "metadata": {"name": "x", "creationTimestamp": CREATED, **(obj.get("metadata") or {})}}
    cells = tables.row(kind, obj, NOW_S).cells
    columns = tables.columns(kind)
    assert len(cells) == len(columns)
    return [cell for cell, column in zip(cells, columns, strict=True) if wide or not column["priority"]]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (121, "2m1s"),
        (599, "9m59s"),
        (600, "10m"),
        (3600, "60m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 60, "3h1m"),
        (8 * 3600 + 60, "8h"),
        (47 * 3600, "47h"),
        (48 * 3600, "2d"),
        (49 * 3600, "2d1h"),
        (8 * 86400, "8d"),
        (729 * 86400, "729d"),
        (731 * 86400, "2y1d"),
        (3650 * 86400, "10y"),
    ],
)
def test_ages(seconds: int, text: str) -> None:
    assert human_duration(seconds) == text


def running(ready: bool = True, restarts: int = 0, **more: Any) -> Object:
    return {"name": "c", "ready": ready, "restartCount": restarts, "state": {"running": {}}, **more}


def waiting(reason: str) -> Object:
    return {"name": "c", "ready": False, "restartCount": 0, "state": {"waiting": {"reason": reason}}}


def terminated(code: int, reason: str = "", restarts: int = 0, **more: Any) -> Object:
    ended = {"exitCode": code} | ({"reason": reason} if reason else {}) | more
    return {"name": "c", "ready": False, "restartCount": restarts, "state": {"terminated": ended}}


RESTARTED = {"lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T00:02:00Z"}}}
INIT = {"initContainers": [{"name": "c"}, {"name": "d"}]}
SIDECAR = {"initContainers": [{"name": "c", "restartPolicy": "Always"}]}


@pytest.mark.parametrize(
    ("spec", "status", "ready", "reason", "restarts"),
    [
        pytest.param({}, {"phase": "Pending"}, "0/1", "Pending", "0", id="pending"),
        pytest.param({}, {"containerStatuses": [running()]}, "1/1", "Running", "0", id="running"),
        pytest.param({}, {"containerStatuses": [running(ready=False)]}, "0/1", "Running", "0", id="not ready"),
        pytest.param({}, {"containerStatuses": [running(restarts=3)]}, "1/1", "Running", "3", id="restarts"),
        pytest.param(
            {}, {"containerStatuses": [running(restarts=3, **RESTARTED)]}, "1/1", "Running", "3 (3m ago)", id="ago"
        ),
        pytest.param(
            {}, {"containerStatuses": [waiting("CrashLoopBackOff")]}, "0/1", "CrashLoopBackOff", "0", id="crash loop"
        ),
        pytest.param({}, {"containerStatuses": [terminated(0, "Completed")]}, "0/1", "Completed", "0", id="completed"),
        pytest.param({}, {"containerStatuses": [terminated(3)]}, "0/1", "ExitCode:3", "0", id="exit code"),
        pytest.param({}, {"containerStatuses": [terminated(0, signal=9)]}, "0/1", "Signal:9", "0", id="signal"),
        pytest.param({}, {"phase": "Failed", "reason": "Evicted"}, "0/1", "Evicted", "0", id="evicted"),
        pytest.param(INIT, {"initContainerStatuses": [running(), waiting("x")]}, "0/1", "Init:0/2", "0", id="init 0/2"),
        pytest.param(
            INIT, {"initContainerStatuses": [terminated(0), waiting("PodInitializing")]}, "0/1", "Init:1/2", "0",
            id="init 1/2",
        ),
        pytest.param(
            INIT, {"initContainerStatuses": [waiting("ErrImagePull")]}, "0/1", "Init:ErrImagePull", "0", id="init pull"
        ),
        pytest.param(
            INIT, {"initContainerStatuses": [terminated(1, "Error", 2)]}, "0/1", "Init:Error", "2", id="init error"
        ),
        pytest.param(
            SIDECAR,
            {"initContainerStatuses": [running(started=True, restarts=1)], "containerStatuses": [running(restarts=2)]},
            "2/2", "Running", "3", id="sidecar",
        ),
        pytest.param(
            {}, {"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]},
            "0/1", "SchedulingGated", "0", id="gated",
        ),
        pytest.param(
            {},
            {"containerStatuses": [terminated(0, "Completed"), running()], "conditions": [{"type": "Ready", "status": "True"}]},
            "1/1", "Running", "0", id="one of two done",
        ),
    ],
)  # fmt: skip
def test_pods(spec: Object, status: Object, ready: str, reason: str, restarts: str) -> None:
    pod = {"spec": {"containers": [{"name": "c"}], **spec}, "status": {"phase": "Running", **status}}
    assert shown("pods", pod) == ["x", ready, reason, restarts, "5m"]


def test_a_pod_that_is_deleted() -> None:
    gone = {"deletionTimestamp": CREATED}
    assert shown("pods", {"metadata": gone, "status": {"phase": "Running"}})[2] == "Terminating"
    assert shown("pods", {"metadata": gone, "status": {"phase": "Succeeded"}})[2] == "Succeeded"
    assert (
        shown("pods", {"metadata": gone, "status": {"phase": "Running", "reason": "NodeLost"}})[2]
        == "Unknown"
    )


def test_a_pod_in_wide_form() -> None:
    pod = samples.large_pod()
    pod["spec"]["readinessGates"] = [{"conditionType": "Ready"}, {"conditionType": "nope"}]
    assert shown("pods", pod, wide=True)[5:] == ["10.0.0.1", "node-1", "<none>", "1/2"]
    assert shown("pods", {}, wide=True)[5:] == ["<none>", "<none>", "<none>", "<none>"]


def test_finished_pods_say_so() -> None:
    row = tables.row(resource("pods"), {"metadata": {"name": "x"}, "status": {"phase": "Succeeded"}}, NOW_S)
    assert row.conditions[0]["type"] == "Completed"


SELECTOR = {"matchLabels": {"a": "b"}}
TEMPLATE = {"spec": {"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "j"}]}}
ROWS: list[Any] = [
    pytest.param(
        "deployments.apps",
        {
            "spec": {"replicas": 3, "selector": SELECTOR, "template": TEMPLATE},
            "status": {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1},
        },
        ["x", "1/3", 2, 1, "5m", "c,d", "i,j", "a=b"],
        id="deployment",
    ),
    pytest.param(
        "replicasets.apps",
        {"spec": {"replicas": 3, "selector": SELECTOR, "template": TEMPLATE}, "status": {"replicas": 2}},
        ["x", 3, 2, 0, "5m", "c,d", "i,j", "a=b"],
        id="replicaset",
    ),
    pytest.param(
        "statefulsets.apps",
        {"spec": {"replicas": 2, "template": TEMPLATE}, "status": {"readyReplicas": 1}},
        ["x", "1/2", "5m", "c,d", "i,j"],
        id="statefulset",
    ),
    pytest.param(
        "daemonsets.apps",
        {
            "spec": {"selector": SELECTOR, "template": TEMPLATE},
            "status": {"desiredNumberScheduled": 3, "numberReady": 2},
        },
        ["x", 3, 0, 2, 0, 0, "<none>", "5m", "c,d", "i,j", "a=b"],
        id="daemonset",
    ),
    pytest.param(
        "jobs.batch",
        {
            "spec": {"completions": 2, "selector": SELECTOR, "template": TEMPLATE},
            "status": {"succeeded": 1, "startTime": "2026-01-01T00:01:00Z"},
        },
        ["x", "Running", "1/2", "4m", "5m", "c,d", "i,j", "a=b"],
        id="job",
    ),
    pytest.param(
        "cronjobs.batch",
        {
            "spec": {
                "schedule": "* * * * *",
                "suspend": False,
                "jobTemplate": {"spec": {"template": TEMPLATE}},
            },
            "status": {"lastScheduleTime": "2026-01-01T00:04:00Z"},
        },
        ["x", "* * * * *", "<none>", "False", 0, "60s", "5m", "c,d", "i,j", "<none>"],
        id="cronjob",
    ),
    pytest.param(
        "services",
        {
            "spec": {
                "type": "NodePort",
                "clusterIP": "10.96.0.1",
                "selector": {"a": "b"},
                "ports": [
                    {"port": 80, "nodePort": 30000, "protocol": "TCP"},
                    {"port": 53, "protocol": "UDP"},
                ],
            }
        },
        ["x", "NodePort", "10.96.0.1", "<none>", "80:30000/TCP,53/UDP", "5m", "a=b"],
        id="service",
    ),
    pytest.param(
        "services",
        {"spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.1"}},
        ["x", "LoadBalancer", "10.96.0.1", "<pending>", "<none>", "5m", "<none>"],
        id="balancer",
    ),
    pytest.param(
        "endpoints",
        {
            "subsets": [
                {"addresses": [{"ip": f"10.0.0.{i}"} for i in range(5)], "ports": [{"port": 80}]},
            ]
        },
        ["x", "10.0.0.0:80,10.0.0.1:80,10.0.0.2:80 + 2 more...", "5m"],
        id="endpoints",
    ),
    pytest.param(
        "endpointslices.discovery.k8s.io",
        {"addressType": "IPv4", "ports": [{"port": 80}], "endpoints": [{"addresses": ["10.0.0.1"]}]},
        ["x", "IPv4", "80", "10.0.0.1", "5m"],
        id="slice",
    ),
    pytest.param(
        "nodes",
        {
            "metadata": {"labels": {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/a": ""}},
            "spec": {"unschedulable": True},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "InternalIP", "address": "1.2.3.4"}],
                "nodeInfo": {"kubeletVersion": "v1.36.0", "osImage": "os"},
            },
        },
        [
            "x",
            "Ready,SchedulingDisabled",
            "a,worker",
            "5m",
            "v1.36.0",
            "1.2.3.4",
            "<none>",
            "os",
            "<unknown>",
            "<unknown>",
        ],
        id="node",
    ),
    pytest.param("namespaces", {"status": {"phase": "Active"}}, ["x", "Active", "5m"], id="namespace"),
    pytest.param("configmaps", {"data": {"a": ""}, "binaryData": {"b": ""}}, ["x", 2, "5m"], id="configmap"),
    pytest.param("secrets", {"type": "Opaque", "data": {"a": ""}}, ["x", "Opaque", 1, "5m"], id="secret"),
    pytest.param("serviceaccounts", {}, ["x", 0, "5m"], id="serviceaccount"),
    pytest.param(
        "events",
        {
            "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{c}"},
            "type": "Normal",
            "reason": "Started",
            "message": " started \n",
            "source": {"component": "kubelet", "host": "n1"},
            "firstTimestamp": "2026-01-01T00:03:00Z",
            "lastTimestamp": "2026-01-01T00:04:00Z",
            "count": 3,
        },
        ["60s", "Normal", "Started", "pod/p", "spec.containers{c}", "kubelet, n1", "started", "2m", 3, "x"],
        id="event",
    ),
    pytest.param(
        "events",
        {
            "involvedObject": {"kind": "Pod", "name": "p"},
            "eventTime": "2026-01-01T00:03:00.000000Z",
            "series": {"count": 7, "lastObservedTime": "2026-01-01T00:04:00.000000Z"},
        },
        ["60s", "", "", "pod/p", "", "", "", "2m", 7, "x"],
        id="event series",
    ),
    pytest.param(
        "horizontalpodautoscalers.autoscaling",
        {
            "spec": {
                "scaleTargetRef": {"kind": "Deployment", "name": "web"},
                "minReplicas": 1,
                "maxReplicas": 5,
                "metrics": [
                    {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80}}}
                ],
            },
            "status": {"currentReplicas": 2},
        },
        ["x", "Deployment/web", "cpu: <unknown>/80%", "1", 5, 2, "5m"],
        id="autoscaler",
    ),
    pytest.param(
        "persistentvolumeclaims",
        {
            "spec": {"volumeName": "v", "storageClassName": "s", "volumeMode": "Filesystem"},
            "status": {
                "phase": "Bound",
                "capacity": {"storage": "1024Mi"},
                "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
            },
        },
        ["x", "Bound", "v", "1Gi", "RWO,RWX", "s", "<unset>", "5m", "Filesystem"],
        id="claim",
    ),
    pytest.param(
        "storageclasses.storage.k8s.io",
        {
            "metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": "p",
        },
        ["x (default)", "p", "Delete", "Immediate", False, "5m"],
        id="class",
    ),
    pytest.param("roles.rbac.authorization.k8s.io", {}, ["x", CREATED], id="role"),
    pytest.param(
        "rolebindings.rbac.authorization.k8s.io",
        {
            "roleRef": {"kind": "Role", "name": "r"},
            "subjects": [
                {"kind": "User", "name": "u"},
                {"kind": "ServiceAccount", "namespace": "n", "name": "s"},
            ],
        },
        ["x", "Role/r", "5m", "u", "", "n/s"],
        id="binding",
    ),
    pytest.param(
        "certificatesigningrequests.certificates.k8s.io",
        {
            "spec": {"signerName": "k/s", "username": "u", "expirationSeconds": 86400},
            "status": {"conditions": [{"type": "Approved"}], "certificate": "x"},
        },
        ["x", "5m", "k/s", "u", "24h", "Approved,Issued"],
        id="request",
    ),
    pytest.param(
        "leases.coordination.k8s.io", {"spec": {"holderIdentity": "h"}}, ["x", "h", "5m"], id="lease"
    ),
    pytest.param("limitranges", {}, ["x", CREATED], id="no table of its own"),
]


@pytest.mark.parametrize(("name", "obj", "cells"), ROWS)
def test_rows(name: str, obj: Object, cells: list[Any]) -> None:
    assert shown(name, deepcopy(obj), wide=True) == cells


@pytest.mark.parametrize(
    "kind", [r for r in Registry.builtin() if r.list_kind], ids=lambda r: f"{r.group_resource}/{r.version}"
)
def test_every_kind_prints_even_when_it_is_empty(kind: Resource) -> None:
    row = tables.row(kind, {"metadata": {"name": "x"}}, NOW_S)
    assert len(row.cells) == len(tables.columns(kind))
    assert all(column["name"] for column in tables.columns(kind))
