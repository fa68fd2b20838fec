"""What a kubelet may write."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.api.errors import StatusError
from control_plane.apiserver.admission.plugins.node_restriction import NodeRestriction, forbidden_labels
from control_plane.apiserver.authn.user import UserInfo
from tests.control_plane.apiserver.admission.helpers import CREATE, DELETE, UPDATE, dependencies, request
from tests.control_plane.apiserver.authn.fakes import FakeReader, Object, obj

NODE = UserInfo("system:node:n1", groups=("system:nodes",))
OWNER = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "uid-of-n1", "controller": True}


def pod(name: str = "mine", node: str = "n1", **spec: Any) -> Object:
    return obj(name, "ns", spec={"nodeName": node, **spec})


def mirror(*owners: Object, node: str = "n1", **spec: Any) -> Object:
    made = pod("static", node, **spec)
    made["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    made["metadata"]["ownerReferences"] = list(owners)
    return made


def node(name: str = "n1", labels: Object | None = None, **spec: Any) -> Object:
    return obj(name, metadata={"labels": labels or {}}, spec=spec)


def token(**reference: str) -> Object:
    return {"metadata": {}, "spec": {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", **reference}}}


def asked(resource: str, made: Object | None, operation: Any = CREATE, **more: Any) -> Any:
    return request(resource, made, operation, user=NODE, **more)


def plugin() -> NodeRestriction:
    volumes = [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]
    pods = [pod("mine", volumes=volumes), pod("theirs", "n2")]
    return NodeRestriction(dependencies(FakeReader(pods=pods, nodes=[obj("n1"), obj("n2")])))


ZONE = {"topology.kubernetes.io/zone": "a"}


@pytest.mark.parametrize(
    ("admission", "message"),
    [
        pytest.param(asked("pods", mirror(OWNER)), None, id="mirror pod"),
        pytest.param(asked("pods", pod()), "can only create mirror pods", id="pod"),
        pytest.param(asked("pods", mirror(OWNER, node="n2")), "spec.nodeName set to itself", id="elsewhere"),
        pytest.param(asked("pods", mirror()), "an owner reference set to itself", id="no owner"),
        pytest.param(asked("pods", mirror(OWNER, OWNER)), "a single owner reference", id="two owners"),
        pytest.param(asked("pods", mirror({**OWNER, "uid": "x"})), "UID mismatch", id="another uid"),
        pytest.param(
            asked("pods", mirror({**OWNER, "controller": False})), "a controller owner", id="no controller"
        ),
        pytest.param(
            asked("pods", mirror({**OWNER, "blockOwnerDeletion": True})), "blockOwnerDeletion", id="blocking"
        ),
        pytest.param(
            asked("pods", mirror(OWNER, serviceAccountName="x")), "reference a service account", id="account"
        ),
        pytest.param(
            asked("pods", mirror(OWNER, imagePullSecrets=[{"name": "s"}])), "reference secrets", id="secret"
        ),
        pytest.param(
            asked("pods", mirror(OWNER, volumes=[{"name": "v", "configMap": {"name": "m"}}])),
            "reference configmaps",
            id="config map",
        ),
        pytest.param(asked("pods", None, DELETE, name="mine"), None, id="delete its pod"),
        pytest.param(
            asked("pods", None, DELETE, name="theirs"), "can only delete pods with", id="delete another's"
        ),
        pytest.param(asked("pods", None, DELETE, name="none"), 'pods "none" not found', id="delete nothing"),
        pytest.param(asked("pods", pod(), UPDATE, old=pod()), "unexpected operation", id="update a pod"),
        pytest.param(asked("pods/status", pod(), UPDATE, old=pod()), None, id="status"),
        pytest.param(
            asked("pods/status", pod(node="n2"), UPDATE, old=pod(node="n2")),
            "only update pod status",
            id="foreign",
        ),
        pytest.param(
            asked("pods/status", obj("mine", metadata={"labels": {"a": "b"}}), UPDATE, old=pod()),
            "cannot update labels through pod status",
            id="labels by status",
        ),
        pytest.param(asked("pods/eviction", obj("mine"), name="mine"), None, id="evict"),
        pytest.param(
            asked("pods/eviction", obj("theirs"), name="theirs"), "only evict pods", id="evict another's"
        ),
        pytest.param(asked("pods/exec", obj("mine"), name="mine"), "unexpected pod subresource", id="exec"),
        pytest.param(asked("nodes", node(labels=ZONE)), None, id="register"),
        pytest.param(asked("nodes", node("n2")), 'not allowed to modify node "n2"', id="register another"),
        pytest.param(
            asked("nodes", node(labels={"node-role.kubernetes.io/master": ""})),
            "not allowed to set the following labels: node-role.kubernetes.io/master",
            id="role",
        ),
        pytest.param(asked("nodes", node(labels=ZONE), UPDATE, old=node()), None, id="zone"),
        pytest.param(
            asked("nodes", node(labels={"x.node-restriction.kubernetes.io/y": ""}), UPDATE, old=node()),
            "is not allowed to modify labels",
            id="restricted",
        ),
        pytest.param(
            asked("nodes", node(taints=[]), UPDATE, old=node(taints=[{"key": "a"}])),
            "modify taints",
            id="taints",
        ),
        pytest.param(asked("nodes/status", node(), UPDATE, old=node()), None, id="node status"),
        pytest.param(
            asked("nodes", None, DELETE, name="n2"), "not allowed to modify node", id="delete another node"
        ),
        pytest.param(
            asked("leases.coordination.k8s.io", obj("n1"), namespace="kube-node-lease"), None, id="lease"
        ),
        pytest.param(
            asked("leases.coordination.k8s.io", obj("n2"), namespace="kube-node-lease"),
            "same name",
            id="its lease",
        ),
        pytest.param(
            asked("leases.coordination.k8s.io", obj("n1")), "system namespace", id="lease elsewhere"
        ),
        pytest.param(asked("csinodes.storage.k8s.io", obj("n2"), namespace=""), "same name", id="csi node"),
        pytest.param(
            asked("serviceaccounts/token", token(name="mine", uid="uid-of-mine"), name="robot"),
            None,
            id="token",
        ),
        pytest.param(
            asked("serviceaccounts/token", token(name="theirs", uid="uid-of-theirs"), name="robot"),
            "scheduled on a different node",
            id="token of another's pod",
        ),
        pytest.param(
            asked("serviceaccounts/token", token(name="mine"), name="robot"),
            "without a uid",
            id="token without uid",
        ),
        pytest.param(
            asked("serviceaccounts/token", {"metadata": {}, "spec": {}}),
            "not bound to a pod",
            id="unbound token",
        ),
        pytest.param(asked("configmaps", obj("c")), None, id="anything else"),
        pytest.param(request("pods", pod(), user=UserInfo("ann")), None, id="anyone else"),
    ],
)
async def test_node_restriction(admission: Any, message: str | None) -> None:
    if message is None:
        await plugin().mutate(admission)
    else:
        with pytest.raises(StatusError) as caught:
            await plugin().mutate(admission)
        assert message in caught.value.message


async def test_a_token_for_an_audience_that_the_pod_does_not_ask_for() -> None:
    made = token(name="mine", uid="uid-of-mine")
    made["spec"]["audiences"] = ["vault"]
    with pytest.raises(StatusError, match='audience "vault" not found in pod spec volume'):
        await plugin().mutate(asked("serviceaccounts/token", made, name="robot"))


async def test_a_claims_status() -> None:
    old = obj("c", "ns", status={"phase": "Bound"})
    grown = {**old, "status": {"phase": "Bound", "capacity": {"storage": "2Gi"}}}
    await plugin().mutate(asked("persistentvolumeclaims/status", grown, UPDATE, old=old))
    lost = {**old, "status": {"phase": "Lost"}}
    with pytest.raises(StatusError, match=r"other than status\.capacity and status\.conditions"):
        await plugin().mutate(asked("persistentvolumeclaims/status", lost, UPDATE, old=old))


@pytest.mark.parametrize(
    ("label", "allowed"),
    [
        ("app", True),
        ("example.com/x", True),
        ("kubernetes.io/hostname", True),
        ("kubernetes.io/other", False),
        ("x.kubernetes.io/y", False),
        ("k8s.io/x", False),
        ("kubelet.kubernetes.io/x", True),
        ("a.node.kubernetes.io/x", True),
        ("node-restriction.kubernetes.io/x", False),
    ],
)
def test_labels(label: str, allowed: bool) -> None:
    assert (forbidden_labels({label: "1"}, {}) == []) is allowed
    assert forbidden_labels({label: "1"}, {label: "1"}) == []
