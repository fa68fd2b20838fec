"""Why a workload has not its pods."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.why.build import check, condition, event, lease, obj, pod, waiting, why

Objects = dict[str, list[dict[str, Any]]]

WEB = obj("web", spec={"replicas": 2}, status={"availableReplicas": 1, "updatedReplicas": 2, "replicas": 2})
SET = obj("web-1", WEB, spec={"replicas": 2}, status={"readyReplicas": 1})
QUOTA = obj("small", spec={"hard": {"pods": "1"}}, status={"hard": {"pods": "1"}, "used": {"pods": "1"}})
REFUSED = condition(
    "ReplicaFailure",
    "True",
    "FailedCreate",
    'pods "web-1-x" is forbidden: exceeded quota: small, requested: pods=1',
)
JOB = obj("j", spec={"parallelism": 1, "completions": 3})
ORDERED = obj("db", spec={"replicas": 3}, status={"readyReplicas": 0})

WORKLOADS = [
    pytest.param(
        "deploy/web",
        {
            "deployments": [WEB],
            "replicasets": [SET],
            "pods": [pod("web-1-a", SET), pod("web-1-b", SET, status=waiting("ErrImagePull"))],
        },
        "deployment/web has 1 of 2 pods available | replicaset/web-1 has 1 of 2 pods ready | pod/web-1-b cannot",
        "correct the image's name",
        id="deployment to image",
    ),
    pytest.param(
        "deploy/web",
        {
            "deployments": [WEB],
            "replicasets": [{**SET, "status": {"conditions": [REFUSED]}}],
            "resourcequotas": [QUOTA],
        },
        "resourcequota/small allows no more pods: 1 of 1 used",
        "raise spec.hard of the quota small",
        id="quota",
    ),
    pytest.param(
        "deploy/web",
        {
            "deployments": [WEB],
            "replicasets": [SET],
            "events": [event(SET, "FailedCreate", 'violates PodSecurity "restricted"')],
        },
        "cannot make 2 pods that it lacks",
        "pod-security.kubernetes.io",
        id="pod security",
    ),
    pytest.param(
        "deploy/web",
        {"deployments": [{**WEB, "spec": {"replicas": 2, "paused": True}}]},
        "is paused",
        "rollout resume",
        id="paused",
    ),
    pytest.param(
        "deploy/web",
        {"deployments": [WEB], "leases": [lease("kube-controller-manager", 99, "kube-system")]},
        "controller-manager has not renewed its lease",
        "balsa status",
        id="no controller-manager",
    ),
    pytest.param(
        "deploy/web",
        {"deployments": [obj("web", spec={"replicas": 0})]},
        "asks for no pods",
        "",
        id="scaled to zero",
    ),
    pytest.param(
        "deploy/web",
        {
            "deployments": [
                {**WEB, "metadata": {**WEB["metadata"], "generation": 3}, "status": {"observedGeneration": 2}}
            ]
        },
        "its controller has not seen it yet",
        "try again",
        id="not observed",
    ),
    pytest.param(
        "sts/db",
        {"statefulsets": [ORDERED], "pods": [pod("db-0", ORDERED, status=waiting("ErrImagePull"))]},
        "those after db-0 wait for it",
        "correct the image",
        id="statefulset in order",
    ),
    pytest.param(
        "ds/agent",
        {"daemonsets": [obj("agent", status={"desiredNumberScheduled": 0})]},
        "is wanted on no node",
        "nodeSelector",
        id="daemonset that fits nowhere",
    ),
    pytest.param(
        "job/j",
        {
            "jobs": [
                obj(
                    "j",
                    status={
                        "conditions": [
                            condition("Failed", "True", "BackoffLimitExceeded", "too many failures")
                        ]
                    },
                )
            ],
            "pods": [pod("j-1", JOB, status={"phase": "Failed"})],
        },
        "has failed: BackoffLimitExceeded too many failures | pod/j-1 has failed",
        "logs j-1",
        id="job failed",
    ),
    pytest.param(
        "job/j",
        {"jobs": [obj("j", spec={"suspend": True})]},
        "is suspended",
        '"suspend":false',
        id="job suspended",
    ),
    pytest.param(
        "job/j",
        {"jobs": [JOB], "pods": [pod("j-1", JOB, status=waiting("ErrImagePull"))]},
        "is not complete 0 of 3 succeeded | pod/j-1 cannot start",
        "correct the image",
        id="job waits for its pod",
    ),
    pytest.param(
        "cj/c",
        {"cronjobs": [obj("c", spec={"suspend": True})]},
        "is suspended",
        "suspend",
        id="cronjob suspended",
    ),
]


@pytest.mark.parametrize(("name", "objects", "expected", "step"), WORKLOADS)
def test_workloads(name: str, objects: Objects, expected: str, step: str) -> None:
    check(why(name, **objects), expected, step)
