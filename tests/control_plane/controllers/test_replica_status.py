"""What replica sets and deployments say of pods that are going: the cases of Kubernetes' deployment utilities."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.controllers import replicaset
from control_plane.controllers.deployment import status as deployments
from tests.control_plane.controllers.objects import NOW, Obj, owner, pod, replica_set


@pytest.mark.parametrize(
    ("kind", "owned", "expected"),
    [
        ("ReplicaSet", [], 0),
        ("ReplicaSet", [pod("a"), pod("b", deleting=True), pod("c", deleting=True)], 2),
        (
            "ReplicaSet",
            [pod("a", deleting=True, phase="Succeeded"), pod("b", deleting=True, phase="Failed")],
            0,
        ),
        ("ReplicaSet", [pod("a", phase="Pending", deleting=True)], 1),
        ("ReplicationController", [pod("a", deleting=True)], None),
    ],
    ids=["none", "two of three", "they have ended", "one that had not begun", "a replication controller"],
)
def test_pods_that_are_going(kind: str, owned: list[Obj], expected: int | None) -> None:
    made = replicaset.status(owner(kind), owned, NOW, None)
    assert made.get("terminatingReplicas") == expected


def a_set(name: str, terminating: int | None, **status: Any) -> Obj:
    made = replica_set(name, 1)
    made["status"] = {**made["status"], "observedGeneration": 1, **status}
    if terminating is not None:
        made["status"]["terminatingReplicas"] = terminating
    return made


NEVER_LOOKED_AT = a_set("c", None, observedGeneration=0, replicas=0)
OF_AN_OLDER_LOOP = a_set("d", None)


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        ([], 0),
        ([a_set("a", 3)], 3),
        ([a_set("a", 3), a_set("b", 1)], 4),
        ([a_set("a", 3), NEVER_LOOKED_AT], 3),
        ([NEVER_LOOKED_AT], 0),
        ([a_set("a", 3), OF_AN_OLDER_LOOP], None),
        ([a_set("a", 0)], 0),
    ],
    ids=["no set", "one", "a sum", "a new one", "only a new one", "one that does not say", "none are going"],
)
def test_a_deployment_sums_up(sets: list[Obj], expected: int | None) -> None:
    made = deployments.compute(owner("Deployment", replicas=1), sets, sets[0] if sets else None, NOW)
    assert made.get("terminatingReplicas") == expected
