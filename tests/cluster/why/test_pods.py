"""Why a pod is as it is: one case for each kind of cause; what is said, and what is to be done."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.why.build import (
    CLAIMED,
    ago,
    check,
    claim,
    condition,
    containers,
    event,
    lease,
    node,
    pending,
    pod,
    waiting,
    why,
)

Objects = dict[str, list[dict[str, Any]]]

CPU = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims."
BIG = {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1500m"}}}]}
HALF = {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}
PROBED = {"containers": [{"name": "c", "readinessProbe": {}, "startupProbe": {}}]}
CRASHED = {
    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
    "restartCount": 4,
    "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
}
UNBOUND = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."


GROUPED = {"scheduling.balsa.dev/group": "g", "scheduling.balsa.dev/min-member": "3"}

PODS = [
    pytest.param(
        {"pods": [pod(on="", annotations=GROUPED, status={"phase": "Pending"})]},
        "waits for its group g: 1 of the 3 pods",
        "create the other pods of the group",
        id="gang is not complete",
    ),
    pytest.param({"pods": [pod()]}, "has been ready for 60s", "", id="ready"),
    pytest.param(
        {"pods": [pod(on="", spec={"schedulingGates": [{"name": "x/wait"}]})]},
        "held back by its scheduling gate x/wait",
        "remove the gates",
        id="gate",
    ),
    pytest.param(
        {"pods": [pod(on="", spec={"schedulerName": "mine"})]},
        "waits for the scheduler 'mine'",
        "profile mine",
        id="unknown scheduler",
    ),
    pytest.param(
        {"pods": [pod(on="")], "leases": [lease("kube-scheduler", 99, "kube-system")]},
        "scheduler has not renewed its lease for 99 s",
        "balsa status",
        id="no scheduler",
    ),
    pytest.param(
        {"pods": [pending(CPU, spec=BIG), pod("other", spec=HALF)]},
        "fits on no node of 1 1 Insufficient cpu   it asks for 1500m cpu; the most that is free is 1 on node-1",
        "delete what is not needed",
        id="cpu in use",
    ),
    pytest.param(
        {"pods": [pending(CPU, spec=BIG)], "nodes": [node(cpu="1")]},
        "the most that is free is 1 on node-1",
        "no node is that large",
        id="cpu that no node has",
    ),
    pytest.param(
        {
            "pods": [pending("0/1 nodes are available: 1 node(s) had untolerated taint(s).")],
            "nodes": [node(spec={"taints": [{"key": "team", "value": "a", "effect": "NoSchedule"}]})],
        },
        "tainted team=a:NoSchedule",
        "add a toleration for team",
        id="taint",
    ),
    pytest.param(
        {
            "pods": [pending("0/1 nodes are available: 1 node(s) were unschedulable.")],
            "nodes": [node(spec={"unschedulable": True})],
        },
        "cordoned: node-1",
        "kubectl uncordon node-1",
        id="cordoned",
    ),
    pytest.param(
        {
            "pods": [
                pending(
                    "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
                    spec={"nodeSelector": {"disk": "ssd"}},
                )
            ],
            "nodes": [node(labels={"disk": "hdd"})],
        },
        "no node has the label disk=ssd; there are hdd",
        "kubectl label node NAME disk=ssd",
        id="node selector",
    ),
    pytest.param(
        {"pods": [pending("no nodes")], "nodes": []}, "the cluster has none", "balsa up", id="no nodes"
    ),
    pytest.param(
        {
            "pods": [pending(UNBOUND, spec=CLAIMED)],
            "persistentvolumeclaims": [claim(spec={"storageClassName": "fast"})],
        },
        "persistentvolumeclaim/data names the storage class 'fast', which does not exist",
        "create the storage class fast",
        id="claim behind it",
    ),
    pytest.param(
        {"pods": [pending('0/1 nodes are available: persistentvolumeclaim "data" not found.', spec=CLAIMED)]},
        "persistentvolumeclaim/data does not exist",
        "create the claim data",
        id="claim missing",
    ),
    pytest.param(
        {"pods": [pod(status=waiting("ImagePullBackOff", "no such image"))]},
        "the image 'web:1' cannot be had (ImagePullBackOff) no such image",
        "correct the image's name",
        id="image",
    ),
    pytest.param(
        {"pods": [pod(status=waiting("CreateContainerConfigError", 'configmap "settings" not found'))]},
        "cannot start its container c",
        "create the configmap settings",
        id="config map missing",
    ),
    pytest.param(
        {"pods": [pod(status=containers(CRASHED))]},
        "was restarted 4 times last time it ended with exit code 137 (OOMKilled)",
        "limits.memory",
        id="out of memory",
    ),
    pytest.param(
        {
            "pods": [
                (unready := pod(spec=PROBED, status=containers({"state": {"running": {}}, "started": True})))
            ],
            "events": [event(unready, "Unhealthy", "Readiness probe failed: 503")],
        },
        "the readiness probe of c fails Readiness probe failed: 503",
        "logs p -c c",
        id="readiness probe",
    ),
    pytest.param(
        {"pods": [pod(spec=PROBED, status=containers({"state": {"running": {}}, "started": False}))]},
        "the startup probe of c fails the startup probe has not succeeded yet",
        "logs",
        id="startup probe",
    ),
    pytest.param(
        {
            "pods": [
                pod(
                    status={
                        "phase": "Running",
                        "conditions": [
                            condition("Ready", "False", "ReadinessGatesNotReady", "x/gate does not exist")
                        ],
                    }
                )
            ]
        },
        "a readiness gate is not met x/gate does not exist",
        "must set its condition",
        id="readiness gate",
    ),
    pytest.param(
        {
            "pods": [
                pod(
                    status={
                        "phase": "Pending",
                        "startTime": ago(9),
                        "initContainerStatuses": [{"name": "init", "state": {"terminated": {"exitCode": 2}}}],
                    }
                )
            ]
        },
        "init container init, which failed with exit code 2",
        "logs p -c init",
        id="init container",
    ),
    pytest.param(
        {
            "pods": [(mounting := pod(status={"phase": "Pending", "startTime": ago(9)}))],
            "events": [event(mounting, "FailedMount", 'secret "s" not found')],
        },
        'cannot be set up on node-1 secret "s" not found',
        "create what the message names",
        id="mount",
    ),
    pytest.param(
        {"pods": [pod(status={"phase": "Pending"})]},
        "whose agent has not taken it yet",
        "balsa why node/node-1",
        id="agent has not seen it",
    ),
    pytest.param(
        {
            "pods": [pod(status={"phase": "Pending"})],
            "nodes": [node(ready="Unknown")],
            "leases": [lease("node-1", 50)],
        },
        "lease/node-1 was not renewed for 50 s",
        "balsa logs node-1",
        id="node down",
    ),
    pytest.param(
        {"pods": [pod(status={"phase": "Failed", "reason": "Evicted", "message": "low on memory"})]},
        "has failed: Evicted low on memory",
        "balsa why node/node-1",
        id="evicted",
    ),
    pytest.param(
        {"pods": [pod(status={"phase": "Succeeded"})]}, "has ended as it should", "", id="succeeded"
    ),
    pytest.param(
        {"pods": [pod(deletionTimestamp=ago(60), finalizers=["x/keep"])]},
        "still there finalizer x/keep",
        "find out why the owner of x/keep",
        id="finalizer",
    ),
    pytest.param(
        {"pods": [pod(deletionTimestamp=ago(60))], "nodes": []},
        "node/node-1 does not exist any more",
        "--force",
        id="deleted on a node that is gone",
    ),
    pytest.param(
        {"pods": [pod(deletionTimestamp=ago(-20))]},
        "have 20 s of their grace left",
        "wait",
        id="being deleted",
    ),
]


@pytest.mark.parametrize(("objects", "expected", "step"), PODS)
def test_pods(objects: Objects, expected: str, step: str) -> None:
    check(why("pod/p", **objects), expected, step)
