"""Roles, bindings and subjects; the words of a refusal; aggregation; escalation; the rules review."""

from __future__ import annotations

import pytest

from control_plane.api.errors import StatusError
from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.authz.build import Authorization, UnknownMode, build_authorizer
from control_plane.apiserver.authz.forbidden import forbidden_error
from control_plane.apiserver.authz.interface import Attributes, Decision
from control_plane.apiserver.authz.rbac import GROUP, RBACAuthorizer, aggregate
from tests.control_plane.apiserver.authn.fakes import FakeReader, Object, obj
from tests.control_plane.apiserver.authz.test_rules import rule

ANN = UserInfo("ann", groups=("dev",))
ROBOT = UserInfo("system:serviceaccount:ns:robot", groups=("system:serviceaccounts",))


def binding(
    name: str, role: str, *subjects: Object, namespace: str = "", kind: str = "ClusterRole"
) -> Object:
    reference = {"apiGroup": GROUP, "kind": kind, "name": role}
    return obj(name, namespace, roleRef=reference, subjects=list(subjects))


def subject(kind: str, name: str, **more: str) -> Object:
    return {"kind": kind, "name": name, **more}


@pytest.fixture
def reader() -> FakeReader:
    reader = FakeReader()
    reader.add("clusterroles", obj("reader", rules=[rule("get", "pods")]), group=GROUP)
    reader.add("clusterroles", obj("nodes", rules=[rule("get", "nodes")]), group=GROUP)
    reader.add("roles", obj("local", "ns", rules=[rule("delete", "pods")]), group=GROUP)
    reader.add("clusterrolebindings", binding("cb", "nodes", subject("User", "ann")), group=GROUP)
    reader.add("rolebindings", binding("b1", "reader", subject("Group", "dev"), namespace="ns"), group=GROUP)
    account = subject("ServiceAccount", "robot", namespace="ns")
    reader.add("rolebindings", binding("b2", "local", account, namespace="ns", kind="Role"), group=GROUP)
    reader.add("rolebindings", binding("b3", "gone", subject("User", "bob"), namespace="ns"), group=GROUP)
    return reader


@pytest.mark.parametrize(
    ("user", "verb", "resource", "namespace", "reason"),
    [
        (
            ANN,
            "get",
            "nodes",
            "",
            'RBAC: allowed by ClusterRoleBinding "cb" of ClusterRole "nodes" to User "ann"',
        ),
        (
            ANN,
            "get",
            "pods",
            "ns",
            'RBAC: allowed by RoleBinding "ns/b1" of ClusterRole "reader" to Group "dev"',
        ),
        (ANN, "get", "pods", "other", None),
        (ANN, "get", "pods", "", None),
        (ANN, "delete", "pods", "ns", None),
        (
            ROBOT,
            "delete",
            "pods",
            "ns",
            'RBAC: allowed by RoleBinding "ns/b2" of Role "local" to ServiceAccount "robot/ns"',
        ),
        (ROBOT, "get", "pods", "ns", None),
    ],
)
async def test_authorize(
    reader: FakeReader, user: UserInfo, verb: str, resource: str, namespace: str, reason: str | None
) -> None:
    asked = Attributes(user, verb, "", "v1", resource, namespace=namespace)
    decision, said = await RBACAuthorizer(reader).authorize(asked)
    assert (decision, said) == ((Decision.NO_OPINION, "") if reason is None else (Decision.ALLOW, reason))


async def test_a_missing_role_is_told(reader: FakeReader) -> None:
    asked = Attributes(UserInfo("bob"), "get", resource="pods", namespace="ns")
    _, reason = await RBACAuthorizer(reader).authorize(asked)
    assert reason == 'RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found'


async def test_changes_count_at_once(reader: FakeReader) -> None:
    rbac = RBACAuthorizer(reader)
    asked = Attributes(UserInfo("eve"), "get", resource="nodes")
    assert (await rbac.authorize(asked))[0] is Decision.NO_OPINION
    reader.add("clusterrolebindings", binding("new", "nodes", subject("User", "eve")), group=GROUP)
    assert (await rbac.authorize(asked))[0] is Decision.ALLOW
    unchanged = rbac.policy
    assert rbac.policy is unchanged, "nothing changed, nothing is made anew"


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (
            Attributes(ANN, "list", resource="pods", namespace="default"),
            'pods is forbidden: User "ann" cannot list resource "pods" in API group "" in the namespace "default"',
        ),
        (
            Attributes(ANN, "get", "apps", "v1", "deployments", "scale", "ns", "web"),
            'deployments.apps "web" is forbidden: User "ann" cannot get resource "deployments/scale" in API group '
            '"apps" in the namespace "ns"',
        ),
        (
            Attributes(ANN, "create", resource="nodes"),
            'nodes is forbidden: User "ann" cannot create resource "nodes" in API group "" at the cluster scope',
        ),
        (Attributes(ANN, "get", path="/metrics"), 'forbidden: User "ann" cannot get path "/metrics"'),
        (
            Attributes(UserInfo("<b>"), "get", path="/"),
            'forbidden: User "&lt;b&gt;" cannot get path "/"',
        ),
    ],
)
def test_refusal_in_the_words_of_kube_apiserver(attributes: Attributes, message: str) -> None:
    assert forbidden_error(attributes).message == message
    assert forbidden_error(attributes, "because").message == message + ": because"
    assert forbidden_error(attributes).code == 403


def selecting(name: str, label: str, **labels: str) -> Object:
    selector = {"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]}
    return obj(name, metadata={"labels": labels}, aggregationRule=selector)


def test_aggregation() -> None:
    view = selecting("view", "to-view", **{"to-edit": "true"})
    edit = selecting("edit", "to-edit")
    parts = [
        obj("v", metadata={"labels": {"to-view": "true"}}, rules=[rule("get", "pods")]),
        obj("e", metadata={"labels": {"to-edit": "true"}}, rules=[rule("update", "pods")]),
    ]
    assert aggregate(view, [view, edit, *parts]) == [rule("get", "pods")]
    everything = aggregate(edit, [view, edit, *parts])
    assert sorted(r["verbs"][0] for r in everything) == ["get", "update"]


def test_roles_that_select_each_other_end() -> None:
    one, two = selecting("one", "x", y="true"), selecting("two", "y", x="true")
    two["rules"] = [rule("get", "pods")]
    assert aggregate(one, [one, two]) == [rule("get", "pods")]


class TestEscalation:
    def authorization(self, *rules: Object) -> tuple[Authorization, FakeReader]:
        reader = FakeReader()
        reader.add("clusterroles", obj("mine", rules=list(rules)), group=GROUP)
        reader.add("clusterroles", obj("strong", rules=[rule("*", "secrets")]), group=GROUP)
        reader.add("clusterrolebindings", binding("b", "mine", subject("User", "ann")), group=GROUP)
        return build_authorizer(["RBAC"], reader), reader

    async def check(self, resource: str, written: Object, *rules: Object, user: UserInfo = ANN) -> None:
        authorization, _ = self.authorization(*rules)
        assert authorization.escalation is not None
        await authorization.escalation.check(user, resource, "ns", written, None)

    async def test_one_gives_what_one_has(self) -> None:
        await self.check("roles", obj("r", rules=[rule("get", "pods")]), rule("get list", "pods"))

    async def test_and_no_more(self) -> None:
        with pytest.raises(StatusError) as caught:
            await self.check("roles", obj("r", rules=[rule("get delete", "pods")]), rule("get", "pods"))
        assert caught.value.message == (
            'roles.rbac.authorization.k8s.io "r" is forbidden: user "ann" (groups=["dev"]) is attempting to grant '
            'RBAC permissions not currently held:\n{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}'
        )

    @pytest.mark.parametrize("resource", ["roles", "clusterroles"])
    async def test_escalate_allows_it(self, resource: str) -> None:
        await self.check(resource, obj("r", rules=[rule("*", "*")]), rule("escalate", resource, GROUP))

    async def test_masters_may(self) -> None:
        await self.check(
            "roles", obj("r", rules=[rule("*", "*")]), user=UserInfo("root", groups=("system:masters",))
        )

    async def test_an_aggregation_rule_takes_all_rights(self) -> None:
        with pytest.raises(StatusError, match="must have cluster-admin privileges to use an aggregationRule"):
            await self.check("clusterroles", selecting("r", "x"), rule("get", "pods"))
        everything = [rule("*", "*", "*"), rule("*", urls="*")]
        await self.check("clusterroles", selecting("r", "x"), *everything)

    async def test_binding_a_role_takes_its_rules(self) -> None:
        written = binding("x", "strong", subject("User", "eve"))
        with pytest.raises(StatusError, match="not currently held"):
            await self.check("rolebindings", written, rule("get", "secrets"))
        await self.check("rolebindings", written, rule("*", "secrets"))
        await self.check("rolebindings", written, rule("bind", "clusterroles", GROUP, names="strong"))

    async def test_binding_an_unknown_role(self) -> None:
        with pytest.raises(StatusError, match='"none" not found'):
            await self.check("rolebindings", binding("x", "none"))

    async def test_the_collector_may_finish_any_role(self) -> None:
        authorization, _ = self.authorization()
        assert authorization.escalation is not None
        old = obj("r", rules=[rule("*", "*")], metadata={"finalizers": ["x"]})
        await authorization.escalation.check(ANN, "roles", "ns", obj("r", rules=[rule("*", "*")]), old)


class TestBuild:
    async def test_masters_may_everything_whatever_the_mode(self) -> None:
        authorizer = build_authorizer(["AlwaysDeny"], FakeReader()).authorizer
        root = UserInfo("root", groups=("system:masters",))
        assert (await authorizer.authorize(Attributes(root, "get", path="/")))[0] is Decision.ALLOW
        decision, reason = await authorizer.authorize(Attributes(ANN, "get", path="/"))
        assert (decision, reason) == (Decision.NO_OPINION, "Everything is forbidden.")

    async def test_reasons_are_joined(self, reader: FakeReader) -> None:
        authorizer = build_authorizer(["Node", "RBAC"], reader).authorizer
        node = UserInfo("system:node:n1", groups=("system:nodes",))
        _, reason = await authorizer.authorize(Attributes(node, "list", resource="nodes"))
        assert reason == "node 'n1' cannot read all nodes, only its own Node object"

    @pytest.mark.parametrize("modes", [[], ["RBAC", "RBAC"], ["ABAC"]], ids=str)
    def test_bad_modes(self, modes: list[str]) -> None:
        with pytest.raises(UnknownMode):
            build_authorizer(modes, FakeReader())

    def test_rules_review(self, reader: FakeReader) -> None:
        rules = build_authorizer(["Node", "RBAC"], reader).rules
        assert rules.status(ANN, "ns") == {
            "resourceRules": [
                {"verbs": ["get"], "apiGroups": [""], "resources": ["nodes"]},
                {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]},
            ],
            "nonResourceRules": [],
            "incomplete": False,
        }
        node = rules.status(UserInfo("system:node:n1", groups=("system:nodes",)), "ns")
        assert node["incomplete"] is True
