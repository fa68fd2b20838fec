"""The default policy: what it says, and that reconciling extends what is stored and takes nothing away."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import pytest

from control_plane.api import errors
from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.authz.bootstrap import policy
from control_plane.apiserver.authz.bootstrap.reconcile import ensure, ensure_default_policy, extended
from control_plane.apiserver.authz.interface import Attributes, Decision
from control_plane.apiserver.authz.rbac import GROUP, RBACAuthorizer
from control_plane.apiserver.authz.rules import uncovered
from tests.control_plane.apiserver.authn.fakes import FakeReader, Object


class FakeStorage:
    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.writes = 0
        self.conflicts = 0

    async def get(self, group: str, resource: str, namespace: str, name: str) -> Object | None:
        return copy.deepcopy(self.objects.get((resource, namespace, name)))

    async def create(self, group: str, resource: str, obj: Object) -> Object:
        return self._write(resource, obj)

    async def update(self, group: str, resource: str, obj: Object) -> Object:
        if self.conflicts:
            self.conflicts -= 1
            raise errors.conflict(group, resource, obj["metadata"]["name"])
        return self._write(resource, obj)

    async def delete(self, group: str, resource: str, namespace: str, name: str) -> None:
        del self.objects[(resource, namespace, name)]

    def _write(self, resource: str, obj: Object) -> Object:
        assert obj["apiVersion"] == policy.API_VERSION
        self.writes += 1
        metadata = obj["metadata"]
        self.objects[(resource, metadata.get("namespace", ""), metadata["name"])] = obj
        return obj


async def bootstrapped() -> FakeStorage:
    storage = FakeStorage()
    await ensure_default_policy(storage)
    return storage


async def authorizer() -> RBACAuthorizer:
    reader = FakeReader()
    for (resource, _, _), stored in (await bootstrapped()).objects.items():
        reader.add(resource, stored, group=GROUP)
    return RBACAuthorizer(reader)


AUTHENTICATED = ("system:authenticated",)
ANN = UserInfo("ann", groups=AUTHENTICATED)
SCHEDULER = UserInfo("system:kube-scheduler", groups=AUTHENTICATED)
MANAGER = UserInfo("system:kube-controller-manager", groups=AUTHENTICATED)
NODE = UserInfo("system:node:n1", groups=("system:nodes", *AUTHENTICATED))
ANONYMOUS = UserInfo("system:anonymous", groups=("system:unauthenticated",))


def controller(name: str) -> UserInfo:
    return UserInfo(f"system:serviceaccount:kube-system:{name}")


@pytest.mark.parametrize(
    ("attributes", "allowed"),
    [
        (Attributes(ANN, "get", path="/api/v1"), True),
        (Attributes(ANN, "get", path="/metrics"), False),
        (Attributes(ANN, "list", resource="pods", namespace="default"), False),
        (Attributes(ANN, "create", "authorization.k8s.io", resource="selfsubjectaccessreviews"), True),
        (Attributes(ANONYMOUS, "get", path="/livez"), True),
        (Attributes(ANONYMOUS, "get", path="/version"), True),
        (Attributes(ANONYMOUS, "get", path="/api"), False),
        (Attributes(SCHEDULER, "create", resource="pods", subresource="binding", namespace="ns"), True),
        (
            Attributes(SCHEDULER, "update", "coordination.k8s.io", resource="leases", name="kube-scheduler"),
            True,
        ),
        (Attributes(SCHEDULER, "update", "coordination.k8s.io", resource="leases", name="other"), False),
        (Attributes(SCHEDULER, "get", resource="secrets", namespace="ns"), False),
        (Attributes(MANAGER, "watch", "any.example", resource="things"), True),
        (
            Attributes(MANAGER, "create", resource="serviceaccounts", subresource="token", namespace="ns"),
            True,
        ),
        (Attributes(MANAGER, "delete", resource="pods", namespace="ns"), False),
        (Attributes(NODE, "list", "discovery.k8s.io", resource="endpointslices"), True),
        (Attributes(NODE, "get", resource="secrets", namespace="ns"), False),
        (Attributes(controller("deployment-controller"), "create", "apps", resource="replicasets"), True),
        (Attributes(controller("replicaset-controller"), "create", resource="pods", namespace="ns"), True),
        (Attributes(controller("generic-garbage-collector"), "delete", "x.y", resource="z"), True),
        (Attributes(controller("job-controller"), "delete", resource="nodes"), False),
        (
            Attributes(controller("token-cleaner"), "delete", resource="secrets", namespace="kube-system"),
            True,
        ),
        (Attributes(controller("token-cleaner"), "delete", resource="secrets", namespace="default"), False),
        (Attributes(UserInfo("x", groups=("system:masters",)), "frob", "x", resource="y"), True),
    ],
    ids=lambda v: f"{v.user.name} {v.verb} {v.resource}{v.path}" if isinstance(v, Attributes) else "",
)
async def test_who_may_what(attributes: Attributes, allowed: bool) -> None:
    decision, reason = await (await authorizer()).authorize(attributes)
    assert (decision is Decision.ALLOW) is allowed, reason


async def test_admin_includes_edit_includes_view() -> None:
    by_name = {role["metadata"]["name"]: role for role in policy.cluster_roles()}
    view, edit, admin = (by_name[name]["rules"] for name in ("view", "edit", "admin"))
    assert view
    assert not uncovered(edit, view)
    assert not uncovered(admin, edit)
    assert uncovered(view, edit)
    secrets = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
    assert uncovered(view, [secrets]), "who may only look may not see secrets"


def test_every_binding_names_a_role() -> None:
    names = {role["metadata"]["name"] for role in policy.cluster_roles()}
    assert {b["roleRef"]["name"] for b in policy.cluster_role_bindings()} <= names
    roles, bindings = policy.namespaced()
    known = {(r["metadata"]["namespace"], r["metadata"]["name"]) for r in roles}
    assert {(b["metadata"]["namespace"], b["roleRef"]["name"]) for b in bindings} <= known


async def test_a_second_start_writes_nothing() -> None:
    storage = await bootstrapped()
    storage.writes = 0
    await ensure_default_policy(storage)
    assert storage.writes == 0


class TestReconcile:
    ROLE: ClassVar[Any] = {
        "apiVersion": policy.API_VERSION,
        "metadata": {"name": "r", "labels": {"l": "1"}, "annotations": {policy.AUTO_UPDATE: "true"}},
        "rules": [policy.rule("get list | core | pods")],
    }

    def stored(self, **changes: Any) -> Object:
        return {**copy.deepcopy(self.ROLE), **changes}

    def test_missing_rules_are_added_and_others_kept(self) -> None:
        extra = policy.rule("delete | core | nodes")
        changed = extended(self.stored(rules=[extra]), self.ROLE)
        assert changed is not None
        assert changed["rules"] == [extra, *self.ROLE["rules"]]

    def test_rules_that_cover_are_enough(self) -> None:
        assert extended(self.stored(rules=[policy.rule("* | * | *")]), self.ROLE) is None

    def test_labels_of_the_administrator_win(self) -> None:
        metadata = {**self.ROLE["metadata"], "labels": {"l": "2", "mine": "x"}}
        assert extended(self.stored(metadata=metadata), self.ROLE) is None

    async def test_turned_off(self) -> None:
        storage = FakeStorage()
        metadata = {"name": "r", "annotations": {policy.AUTO_UPDATE: "false"}}
        storage.objects[("clusterroles", "", "r")] = self.stored(rules=[], metadata=metadata)
        await ensure(storage, "clusterroles", self.ROLE)
        assert storage.writes == 0

    async def test_subjects_are_added(self) -> None:
        storage = await bootstrapped()
        key = ("clusterrolebindings", "", "cluster-admin")
        mine = {"kind": "User", "name": "ann", "apiGroup": GROUP}
        storage.objects[key]["subjects"] = [mine]
        await ensure_default_policy(storage)
        assert [s["name"] for s in storage.objects[key]["subjects"]] == ["ann", "system:masters"]

    async def test_a_binding_to_another_role_is_made_anew(self) -> None:
        storage = await bootstrapped()
        key = ("clusterrolebindings", "", "system:discovery")
        storage.objects[key]["roleRef"] = {"apiGroup": GROUP, "kind": "ClusterRole", "name": "cluster-admin"}
        await ensure_default_policy(storage)
        assert storage.objects[key]["roleRef"]["name"] == "system:discovery"

    async def test_conflicts_are_retried_a_few_times(self) -> None:
        storage = FakeStorage()
        storage.objects[("clusterroles", "", "r")] = self.stored(rules=[])
        storage.conflicts = 2
        await ensure(storage, "clusterroles", self.ROLE)
        assert storage.objects[("clusterroles", "", "r")]["rules"] == self.ROLE["rules"]
        storage.objects[("clusterroles", "", "r")] = self.stored(rules=[])
        storage.conflicts = 100
        with pytest.raises(errors.StatusError):
            await ensure(storage, "clusterroles", self.ROLE)


def test_rule_lines() -> None:
    assert policy.rule("get list | core apps | pods pods/log | a b") == {
        "apiGroups": ["", "apps"],
        "resources": ["pods", "pods/log"],
        "verbs": ["get", "list"],
        "resourceNames": ["a", "b"],
    }
    assert policy.rule("urls get | /a /b/*") == {"nonResourceURLs": ["/a", "/b/*"], "verbs": ["get"]}
