"""The next step of a stateful set, and the pods it makes."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.controllers import disruption, ttl_after_finished
from control_plane.controllers.statefulset import identity, plan, retention
from tests.control_plane.controllers.objects import NOW, Obj, owner, pod


def stateful_set(replicas: int = 3, **spec: Any) -> Obj:
    return owner("StatefulSet", "db", replicas=replicas, serviceName="db", **spec)


def member(number: int, digest: str = "new", **more: Any) -> Obj:
    labels = {"app": "web", "controller-revision-hash": digest}
    return pod(f"db-{number}", labels=labels, **{"ready": True, **more})


PARALLEL = {"podManagementPolicy": "Parallel"}


@pytest.mark.parametrize(
    ("wanted", "owned", "created", "deleted"),
    [
        pytest.param(stateful_set(), [], [0], [], id="one at a time"),
        pytest.param(stateful_set(**PARALLEL), [], [0, 1, 2], [], id="parallel"),
        pytest.param(stateful_set(), [member(0, ready=False)], [], [], id="wait until it is ready"),
        pytest.param(stateful_set(), [member(0), member(1)], [2], [], id="the next"),
        pytest.param(stateful_set(), [member(0), member(2)], [1], [], id="a gap"),
        pytest.param(stateful_set(), [member(0, phase="Failed", ready=False)], [], ["db-0"], id="failed"),
        pytest.param(stateful_set(1), [member(0), member(1), member(2)], [], ["db-2"], id="down from the top"),
        pytest.param(
            stateful_set(1, **PARALLEL), [member(0), member(1), member(2)], [], ["db-2", "db-1"],
            id="parallel: all at once",
        ),
        pytest.param(
            stateful_set(1), [member(0), member(1), member(2, deleting=True)], [], [], id="one is going already"
        ),
        pytest.param(
            stateful_set(), [member(0, "old"), member(1, "old"), member(2, "old")], [], ["db-2"], id="update"
        ),
        pytest.param(
            stateful_set(), [member(0, "old"), member(1, "old"), member(2)], [], ["db-1"], id="then the next"
        ),
        pytest.param(
            stateful_set(updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}),
            [member(0, "old"), member(1, "old"), member(2)], [], [], id="not behind the partition",
        ),
        pytest.param(
            stateful_set(updateStrategy={"type": "OnDelete"}), [member(0, "old"), member(1), member(2)], [], [],
            id="on delete",
        ),
        pytest.param(stateful_set(2, ordinals={"start": 5}), [], [5], [], id="start ordinal"),
    ],
)  # fmt: skip
def test_next_step(wanted: Obj, owned: list[Obj], created: list[int], deleted: list[str]) -> None:
    planned = plan.plan(wanted, owned, "new", "old", NOW)
    assert [number for number, _ in planned.create] == created
    assert [each["metadata"]["name"] for each in planned.delete] == deleted


def test_behind_the_partition_a_lost_pod_comes_back_as_it_was() -> None:
    wanted = stateful_set(updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 1}})
    assert plan.plan(wanted, [], "new", "old", NOW).create == [(0, False)]


def test_a_pod_has_its_name_host_and_claims() -> None:
    wanted = stateful_set(
        volumeClaimTemplates=[{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]
    )
    made = identity.make_pod(wanted, wanted["spec"]["template"], 1, "digest")
    assert (made["metadata"]["name"], made["spec"]["hostname"], made["spec"]["subdomain"]) == (
        "db-1",
        "db-1",
        "db",
    )
    assert made["spec"]["volumes"] == [{"name": "data", "persistentVolumeClaim": {"claimName": "data-db-1"}}]
    assert [each["metadata"]["name"] for each in identity.make_claims(wanted, 1)] == ["data-db-1"]


@pytest.mark.parametrize(
    ("spec", "scale", "healthy", "allowed"),
    [
        pytest.param({"minAvailable": 2}, 3, 3, 1, id="number"),
        pytest.param({"minAvailable": "50%"}, 3, 3, 1, id="percentage rounds up"),
        pytest.param({"maxUnavailable": 1}, 3, 3, 1, id="maxUnavailable"),
        pytest.param({"maxUnavailable": 1}, 3, 2, 0, id="one is gone already"),
        pytest.param({"minAvailable": 5}, 3, 3, 0, id="more than there are"),
    ],
)
def test_disruptions_allowed(spec: Obj, scale: int, healthy: int, allowed: int) -> None:
    budget = {"metadata": {"generation": 1}, "spec": spec}
    matching = [pod(f"p{number}", ready=number < healthy) for number in range(scale)]
    wanted = disruption.expected(budget, matching, scale)
    assert disruption.status(budget, matching, wanted, NOW)["disruptionsAllowed"] == allowed


def test_an_evicted_pod_counts_as_gone_until_it_is_waited_for_too_long() -> None:
    budget: Obj = {"metadata": {}, "spec": {"minAvailable": 1}}
    budget["status"] = {"disruptedPods": {"p0": "2023-11-14T22:13:10Z"}}
    matching = [pod("p0", ready=True), pod("p1", ready=True)]
    wanted = disruption.expected(budget, matching, 2)
    assert disruption.status(budget, matching, wanted, NOW)["disruptionsAllowed"] == 0
    assert disruption.status(budget, matching, wanted, NOW + 200)["disruptionsAllowed"] == 1


@pytest.mark.parametrize(
    ("ttl", "ended", "expected"),
    [(None, True, None), (10, False, None), (10, True, 10.0), (0, True, 0.0)],
    ids=["no ttl", "still running", "later", "now"],
)
def test_ttl(ttl: int | None, ended: bool, expected: float | None) -> None:
    job = owner("Job", "j", "batch/v1", ttlSecondsAfterFinished=ttl)
    if ended:
        complete = {"type": "Complete", "status": "True", "lastTransitionTime": "2023-11-14T22:13:20Z"}
        job["status"] = {"conditions": [complete]}
    assert ttl_after_finished.due_in_s(job, NOW) == expected


SET_OWNS = [
    {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "uid-db", "controller": True}
]
POD_OWNS = [{"apiVersion": "v1", "kind": "Pod", "name": "db-1", "uid": "uid-db-1", "controller": True}]
OTHER_OWNS = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "uid-x"}]
STRANGER_CONTROLS = [{**OTHER_OWNS[0], "controller": True}]


@pytest.mark.parametrize(
    ("when_deleted", "when_scaled", "replicas", "before", "after"),
    [
        pytest.param("Retain", "Retain", 1, [], None, id="kept in any case"),
        pytest.param("Delete", "Retain", 2, [], SET_OWNS, id="goes with the set"),
        pytest.param("Delete", "Retain", 2, SET_OWNS, None, id="says so already"),
        pytest.param("Delete", "Retain", 1, [], SET_OWNS, id="but not when scaled"),
        pytest.param("Retain", "Delete", 2, [], None, id="not scaled away"),
        pytest.param("Retain", "Delete", 1, [], POD_OWNS, id="scaled away"),
        pytest.param("Delete", "Delete", 1, SET_OWNS, POD_OWNS, id="both, scaled away"),
        pytest.param("Delete", "Delete", 2, POD_OWNS, SET_OWNS, id="scaled up again in time"),
        pytest.param("Retain", "Retain", 2, SET_OWNS, [], id="the policy was changed"),
        pytest.param("Delete", "Retain", 2, OTHER_OWNS, [*OTHER_OWNS, *SET_OWNS], id="other owners stay"),
        pytest.param("Delete", "Delete", 1, STRANGER_CONTROLS, None, id="another's claim"),
    ],
)
def test_claim_retention(
    when_deleted: str, when_scaled: str, replicas: int, before: list[Obj], after: list[Obj] | None
) -> None:
    policy = {"whenDeleted": when_deleted, "whenScaled": when_scaled}
    wanted = stateful_set(replicas, persistentVolumeClaimRetentionPolicy=policy)
    claim = {"metadata": {"name": "data-db-1", "ownerReferences": before}}
    found = retention.owned(claim, wanted, member(1))
    assert (found["metadata"]["ownerReferences"] if found else None) == after


def test_a_claim_of_a_former_pod_is_stale() -> None:
    claim = {"metadata": {"ownerReferences": POD_OWNS}}
    assert retention.is_stale(claim, "db-1", "")
    assert not retention.is_stale(claim, "db-1", "uid-db-1")
    assert not retention.is_stale({"metadata": {"ownerReferences": SET_OWNS}}, "db-1", "")
