"""What a kubelet may: its own things, and what the pods on its node refer to."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.authz.bootstrap.policy import node_rules
from control_plane.apiserver.authz.interface import Attributes, Decision
from control_plane.apiserver.authz.node import NodeAuthorizer
from tests.control_plane.apiserver.authn.fakes import FakeReader, obj

NODE = UserInfo("system:node:n1", groups=("system:nodes", "system:authenticated"))


def pod(name: str, node: str, **spec: Any) -> dict[str, Any]:
    return obj(name, "ns", spec={"nodeName": node, **spec})


def reader() -> FakeReader:
    volumes = [
        {"name": "a", "secret": {"secretName": "vol-secret"}},
        {"name": "b", "configMap": {"name": "vol-map"}},
        {"name": "c", "persistentVolumeClaim": {"claimName": "claim"}},
        {"name": "d", "ephemeral": {"volumeClaimTemplate": {}}},
        {
            "name": "e",
            "projected": {"sources": [{"secret": {"name": "p-s"}}, {"configMap": {"name": "p-m"}}]},
        },
        {"name": "f", "csi": {"nodePublishSecretRef": {"name": "csi-secret"}}},
    ]
    env = [
        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "env-secret"}}},
        {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "env-map"}}},
    ]
    env_from = [{"secretRef": {"name": "from-secret"}}, {"configMapRef": {"name": "from-map"}}]
    ours = pod(
        "ours",
        "n1",
        serviceAccountName="robot",
        imagePullSecrets=[{"name": "pull"}],
        volumes=volumes,
        containers=[{"name": "c", "env": env}],
        initContainers=[{"name": "i", "envFrom": env_from}],
    )
    theirs = pod("theirs", "n2", serviceAccountName="other", imagePullSecrets=[{"name": "foreign"}])
    mirror = pod("mirror", "n1", imagePullSecrets=[{"name": "mirrored"}])
    mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    volume = obj(
        "pv",
        spec={
            "claimRef": {"namespace": "ns", "name": "claim"},
            "csi": {"nodeStageSecretRef": {"name": "stage", "namespace": "storage"}},
        },
    )
    found = FakeReader(pods=[ours, theirs, mirror], persistentvolumes=[volume, obj("other", spec={})])
    found.add("volumeattachments", obj("va", spec={"nodeName": "n1"}), group="storage.k8s.io")
    found.add("resourceslices", obj("slice", spec={"nodeName": "n1"}), group="resource.k8s.io")
    return found


UNRELATED = "no relationship found between node 'n1' and this object"


@pytest.mark.parametrize(
    ("verb", "what", "name", "reason"),
    [
        *[
            ("get", "secrets", name, None)
            for name in ("vol-secret", "pull", "p-s", "csi-secret", "env-secret", "from-secret")
        ],
        *[("get", "configmaps", name, None) for name in ("vol-map", "p-m", "env-map", "from-map")],
        ("watch", "secrets", "pull", None),
        ("get", "secrets", "foreign", UNRELATED),
        ("get", "secrets", "mirrored", UNRELATED),
        ("list", "secrets", "", "No Object name found"),
        ("delete", "secrets", "pull", "can only read resources of this type"),
        ("get", "persistentvolumeclaims", "claim", None),
        ("get", "persistentvolumeclaims", "ours-d", None),
        ("get", "persistentvolumeclaims", "none", UNRELATED),
        ("list", "persistentvolumeclaims", "claim", "can only get individual resources of this type"),
        ("patch", "persistentvolumeclaims/status", "claim", None),
        ("create", "serviceaccounts/token", "robot", None),
        ("create", "serviceaccounts/token", "other", UNRELATED),
        ("get", "serviceaccounts", "robot", "can only create tokens for individual service accounts"),
        ("get", "pods", "ours", None),
        ("get", "pods", "theirs", UNRELATED),
        ("list", "pods", "", "can only list/watch pods with spec.nodeName field selector"),
        ("update", "pods/status", "ours", None),
        ("create", "pods/eviction", "ours", None),
        ("update", "pods", "ours", ""),
    ],
)
async def test_namespaced(verb: str, what: str, name: str, reason: str | None) -> None:
    resource, _, subresource = what.partition("/")
    asked = Attributes(NODE, verb, "", "v1", resource, subresource, "ns", name)
    decided = await NodeAuthorizer(reader(), node_rules()).authorize(asked)
    assert decided == ((Decision.ALLOW, "") if reason is None else (Decision.NO_OPINION, reason))


async def test_a_pod_of_which_the_node_has_heard_from_a_quicker_server() -> None:
    known = FakeReader(pods=[])
    asked = Attributes(NODE, "create", "", "v1", "serviceaccounts", "token", "ns", "robot")
    assert (await NodeAuthorizer(known, node_rules()).authorize(asked))[0] is Decision.NO_OPINION
    known.late = [("pods", pod("new", "n1", serviceAccountName="robot"))]
    assert (await NodeAuthorizer(known, node_rules()).authorize(asked))[0] is Decision.ALLOW


@pytest.mark.parametrize(
    ("attributes", "allowed"),
    [
        (Attributes(NODE, "get", resource="persistentvolumes", name="pv"), True),
        (Attributes(NODE, "get", resource="persistentvolumes", name="other"), False),
        (Attributes(NODE, "get", resource="secrets", namespace="storage", name="stage"), True),
        (Attributes(NODE, "get", "storage.k8s.io", resource="volumeattachments", name="va"), True),
        (Attributes(NODE, "get", "resource.k8s.io", resource="resourceslices", name="slice"), True),
        (Attributes(NODE, "get", resource="nodes", name="n1"), True),
        (Attributes(NODE, "get", resource="nodes", name="n2"), False),
        (Attributes(NODE, "list", resource="nodes"), False),
        (Attributes(NODE, "watch", resource="nodes", field_selector="metadata.name=n1"), True),
        (Attributes(NODE, "create", resource="nodes"), True),
        (Attributes(NODE, "delete", resource="nodes", name="n1"), False),
        (Attributes(NODE, "patch", resource="nodes", subresource="status", name="n1"), True),
        (Attributes(NODE, "list", resource="pods", field_selector="spec.nodeName=n1"), True),
        (Attributes(NODE, "list", resource="pods", field_selector="spec.nodeName=n2"), False),
        (Attributes(NODE, "list", resource="pods", field_selector="spec.nodeName!=n1"), False),
        (Attributes(NODE, "list", resource="pods", field_selector="(("), False),
        (
            Attributes(NODE, "list", resource="secrets", namespace="ns", field_selector="metadata.name=pull"),
            True,
        ),
        (Attributes(NODE, "list", resource="services"), True),
        (Attributes(NODE, "list", resource="deployments", group="apps"), False),
        (Attributes(NODE, "get", path="/healthz"), False),
        *[
            (Attributes(NODE, verb, "coordination.k8s.io", "v1", "leases", "", namespace, name), allowed)
            for verb, namespace, name, allowed in [
                ("get", "kube-node-lease", "n1", True),
                ("update", "kube-node-lease", "n2", False),
                ("create", "kube-node-lease", "", True),
                ("update", "default", "n1", False),
                ("list", "kube-node-lease", "", False),
            ]
        ],
        (Attributes(UserInfo("system:node:n1"), "get", resource="nodes", name="n1"), False),
        (Attributes(UserInfo("ann", groups=("system:nodes",)), "get", resource="nodes", name="n1"), False),
    ],
    ids=lambda value: (
        f"{value.verb} {value.resource}{value.path} {value.name}" if isinstance(value, Attributes) else ""
    ),
)
async def test_other(attributes: Attributes, allowed: bool) -> None:
    decision, _ = await NodeAuthorizer(reader(), node_rules()).authorize(attributes)
    assert (decision is Decision.ALLOW) is allowed
