"""Birth, update and deletion in an object's metadata."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from control_plane.api.registry import Registry
from control_plane.api.strategy import Strategy, strategy_for
from control_plane.apiserver.handlers import lifecycle
from control_plane.apiserver.handlers.options import BACKGROUND, FOREGROUND, ORPHAN, DeleteOptions

NOW_S = 1_700_000_000.0


def strategy(group: str = "", resource: str = "configmaps") -> Strategy:
    found = Registry.builtin().find(group, resource)
    assert found is not None
    return strategy_for(found)


def obj(kind: str = "ConfigMap", spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    return {"kind": kind, "apiVersion": "v1", "metadata": {"name": "a", **metadata}, "spec": spec or {}}


def test_a_new_object_gets_its_identity() -> None:
    made = obj(uid="chosen", resourceVersion="5", selfLink="/", deletionTimestamp="x", labels={"a": "b"})
    lifecycle.begin(made, "u-1", NOW_S)
    assert made["metadata"] == {
        "name": "a",
        "labels": {"a": "b"},
        "uid": "u-1",
        "creationTimestamp": "2023-11-14T22:13:20Z",
    }


def test_generated_names_fit() -> None:
    name = lifecycle.generated_name("x" * 100, Random(1))
    assert len(name) == 63
    assert set(name[-5:]) <= set("bcdfghjklmnpqrstvwxz2456789")


def test_an_update_keeps_the_identity() -> None:
    old = obj(uid="u", creationTimestamp="t", generateName="a-")
    new = obj(uid="other", deletionTimestamp="now", selfLink="/")
    lifecycle.carry_over(new, old)
    assert new["metadata"] == {"name": "a", "uid": "u", "creationTimestamp": "t", "generateName": "a-"}


POD = {"nodeName": "n", "terminationGracePeriodSeconds": 20}


@pytest.mark.parametrize(
    ("resource", "subject", "options", "removed", "metadata"),
    [
        pytest.param("configmaps", obj(), DeleteOptions(), True, {}, id="plain"),
        pytest.param(
            "configmaps",
            obj(finalizers=["x"]),
            DeleteOptions(),
            False,
            {"finalizers": ["x"], "deletionGracePeriodSeconds": 0},
            id="held",
        ),
        pytest.param(
            "configmaps",
            obj(),
            DeleteOptions(propagation=FOREGROUND),
            False,
            {"finalizers": ["foregroundDeletion"]},
            id="foreground",
        ),
        pytest.param(
            "configmaps",
            obj(finalizers=["foregroundDeletion"]),
            DeleteOptions(propagation=ORPHAN),
            False,
            {"finalizers": ["orphan"]},
            id="orphan instead",
        ),
        pytest.param(
            "configmaps",
            obj(finalizers=["foregroundDeletion"]),
            DeleteOptions(propagation=BACKGROUND),
            True,
            {},
            id="background instead",
        ),
        pytest.param(
            "pods",
            obj("Pod", POD),
            DeleteOptions(),
            False,
            {"deletionGracePeriodSeconds": 20, "deletionTimestamp": "2023-11-14T22:13:40Z"},
            id="graceful",
        ),
        pytest.param("pods", obj("Pod", POD), DeleteOptions(grace_period_s=0), True, {}, id="at once"),
        pytest.param("pods", obj("Pod"), DeleteOptions(), True, {}, id="never scheduled"),
        pytest.param(
            "pods",
            obj("Pod", POD, deletionTimestamp="t", deletionGracePeriodSeconds=5),
            DeleteOptions(grace_period_s=10),
            False,
            {"deletionTimestamp": "t", "deletionGracePeriodSeconds": 5},
            id="no longer",
        ),
        pytest.param(
            "pods",
            obj("Pod", POD, deletionTimestamp="t", deletionGracePeriodSeconds=5),
            DeleteOptions(grace_period_s=2),
            False,
            {"deletionTimestamp": "2023-11-14T22:13:22Z", "deletionGracePeriodSeconds": 2},
            id="shorter",
        ),
        pytest.param(
            "namespaces",
            obj("Namespace", {"finalizers": ["kubernetes"]}),
            DeleteOptions(),
            False,
            {"deletionTimestamp": "2023-11-14T22:13:20Z"},
            id="namespace",
        ),
    ],
)
def test_deletion(
    resource: str, subject: Any, options: DeleteOptions, removed: bool, metadata: dict[str, Any]
) -> None:
    decided = lifecycle.deletion(subject, strategy("", resource), options, NOW_S)
    assert decided.remove is removed
    if not removed:
        assert metadata.items() <= decided.object["metadata"].items()


@pytest.mark.parametrize(("group", "resource"), [("", "replicationcontrollers"), ("batch", "jobs")])
def test_some_kinds_orphan_by_default(group: str, resource: str) -> None:
    decided = lifecycle.deletion(obj(), strategy(group, resource), DeleteOptions(), NOW_S)
    assert decided.object["metadata"]["finalizers"] == ["orphan"]


@pytest.mark.parametrize(
    ("subject", "removable"),
    [
        (obj(), False),
        (obj(deletionTimestamp="t"), True),
        (obj(deletionTimestamp="t", finalizers=["x"]), False),
        (obj(deletionTimestamp="t", deletionGracePeriodSeconds=3), False),
        (obj("Namespace", {"finalizers": ["kubernetes"]}, deletionTimestamp="t"), False),
        (obj("Namespace", deletionTimestamp="t"), True),
    ],
)
def test_when_the_last_holder_lets_go(subject: Any, removable: bool) -> None:
    assert lifecycle.may_be_removed(subject) is removable
