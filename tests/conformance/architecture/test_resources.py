"""test/e2e/framework/conformance: what upstream's `TestResource` does with one resource, done with every kind that
can be created by itself: create strictly, read, update, each kind of patch, watch, delete, and who manages what."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance import operations
from tests.conformance.client import ApiError, Client, Resource
from tests.e2e.conftest import until

Object = dict[str, Any]

LABEL = "e2e-test.kubernetes.io"
LABELS = {"app": "x"}
POD = {"containers": [{"name": "c", "image": "busybox", "command": ["sleep", "60"]}]}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": POD}
WORKLOAD = {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}
RULES = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
HOOK = {
    "name": "h.example.com",
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
    "clientConfig": {"url": "https://127.0.0.1:1/"},
    "rules": [
        {"operations": ["CREATE"], "apiGroups": ["x.example.com"], "apiVersions": ["v1"], "resources": ["y"]}
    ],
}
DEVICES = {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "none"}}]}}

NAMESPACED: list[tuple[str, str, str, Object]] = [
    ("v1", "configmaps", "ConfigMap", {"data": {"a": "b"}}),
    ("v1", "secrets", "Secret", {"stringData": {"a": "b"}}),
    ("v1", "serviceaccounts", "ServiceAccount", {}),
    ("v1", "services", "Service", {"spec": {"ports": [{"port": 80}], "selector": LABELS}}),
    (
        "v1",
        "endpoints",
        "Endpoints",
        {"subsets": [{"addresses": [{"ip": "10.1.2.3"}], "ports": [{"port": 1}]}]},
    ),
    ("v1", "pods", "Pod", {"spec": {**POD, "schedulerName": "nobody"}}),
    ("v1", "podtemplates", "PodTemplate", {"template": TEMPLATE}),
    (
        "v1",
        "replicationcontrollers",
        "ReplicationController",
        {"spec": {"replicas": 0, "selector": LABELS, "template": TEMPLATE}},
    ),
    ("v1", "resourcequotas", "ResourceQuota", {"spec": {"hard": {"pods": "10"}}}),
    ("v1", "limitranges", "LimitRange", {"spec": {"limits": [{"type": "Pod", "max": {"cpu": "1"}}]}}),
    (
        "v1",
        "persistentvolumeclaims",
        "PersistentVolumeClaim",
        {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}},
    ),
    (
        "v1",
        "events",
        "Event",
        {"involvedObject": {"namespace": "{namespace}"}, "reason": "Test", "message": "x"},
    ),
    ("apps/v1", "deployments", "Deployment", {"spec": {"replicas": 0, **WORKLOAD}}),
    ("apps/v1", "replicasets", "ReplicaSet", {"spec": {"replicas": 0, **WORKLOAD}}),
    ("apps/v1", "statefulsets", "StatefulSet", {"spec": {"replicas": 0, "serviceName": "x", **WORKLOAD}}),
    (
        "apps/v1",
        "daemonsets",
        "DaemonSet",
        {"spec": {**WORKLOAD, "template": {**TEMPLATE, "spec": {**POD, "nodeSelector": {"no": "node"}}}}},
    ),
    ("apps/v1", "controllerrevisions", "ControllerRevision", {"revision": 1, "data": {"a": {"b": 1}}}),
    (
        "batch/v1",
        "jobs",
        "Job",
        {"spec": {"suspend": True, "template": {"spec": {**POD, "restartPolicy": "Never"}}}},
    ),
    (
        "batch/v1",
        "cronjobs",
        "CronJob",
        {
            "spec": {
                "schedule": "0 0 1 1 *",
                "suspend": True,
                "jobTemplate": {"spec": {"template": {"spec": {**POD, "restartPolicy": "Never"}}}},
            }
        },
    ),
    (
        "autoscaling/v2",
        "horizontalpodautoscalers",
        "HorizontalPodAutoscaler",
        {
            "spec": {
                "maxReplicas": 2,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"},
            }
        },
    ),
    (
        "autoscaling/v1",
        "horizontalpodautoscalers",
        "HorizontalPodAutoscaler",
        {
            "spec": {
                "maxReplicas": 2,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"},
            }
        },
    ),
    (
        "coordination.k8s.io/v1",
        "leases",
        "Lease",
        {"spec": {"holderIdentity": "x", "leaseDurationSeconds": 10}},
    ),
    (
        "discovery.k8s.io/v1",
        "endpointslices",
        "EndpointSlice",
        {"addressType": "IPv4", "endpoints": [{"addresses": ["10.1.2.3"]}], "ports": [{"port": 1}]},
    ),
    (
        "events.k8s.io/v1",
        "events",
        "Event",
        {
            "eventTime": "2024-01-01T00:00:00.000000Z",
            "action": "a",
            "reason": "r",
            "type": "Normal",
            "reportingController": "x.example.com/c",
            "reportingInstance": "i",
            "regarding": {"namespace": "{namespace}"},
        },
    ),
    (
        "networking.k8s.io/v1",
        "ingresses",
        "Ingress",
        {"spec": {"defaultBackend": {"service": {"name": "x", "port": {"number": 80}}}}},
    ),
    ("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy", {"spec": {"podSelector": {}}}),
    (
        "policy/v1",
        "poddisruptionbudgets",
        "PodDisruptionBudget",
        {"spec": {"minAvailable": 1, "selector": {"matchLabels": LABELS}}},
    ),
    ("rbac.authorization.k8s.io/v1", "roles", "Role", {"rules": RULES}),
    (
        "rbac.authorization.k8s.io/v1",
        "rolebindings",
        "RoleBinding",
        {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "x"}, "subjects": []},
    ),
    ("resource.k8s.io/v1", "resourceclaims", "ResourceClaim", {"spec": DEVICES}),
    ("resource.k8s.io/v1", "resourceclaimtemplates", "ResourceClaimTemplate", {"spec": {"spec": DEVICES}}),
    ("storage.k8s.io/v1", "csistoragecapacities", "CSIStorageCapacity", {"storageClassName": "x"}),
]

CLUSTER: list[tuple[str, str, str, Object]] = [
    ("v1", "nodes", "Node", {"spec": {"unschedulable": True}}),
    (
        "v1",
        "persistentvolumes",
        "PersistentVolume",
        {
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "none",
                "hostPath": {"path": "/tmp/x"},
            }
        },
    ),
    (
        "admissionregistration.k8s.io/v1",
        "mutatingwebhookconfigurations",
        "MutatingWebhookConfiguration",
        {"webhooks": [HOOK]},
    ),
    (
        "admissionregistration.k8s.io/v1",
        "validatingwebhookconfigurations",
        "ValidatingWebhookConfiguration",
        {"webhooks": [HOOK]},
    ),
    (
        "admissionregistration.k8s.io/v1",
        "validatingadmissionpolicybindings",
        "ValidatingAdmissionPolicyBinding",
        {"spec": {"policyName": "x", "validationActions": ["Deny"]}},
    ),
    (
        "flowcontrol.apiserver.k8s.io/v1",
        "prioritylevelconfigurations",
        "PriorityLevelConfiguration",
        {"spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}},
    ),
    ("networking.k8s.io/v1", "ingressclasses", "IngressClass", {"spec": {"controller": "example.com/x"}}),
    ("node.k8s.io/v1", "runtimeclasses", "RuntimeClass", {"handler": "x"}),
    ("rbac.authorization.k8s.io/v1", "clusterroles", "ClusterRole", {"rules": RULES}),
    (
        "rbac.authorization.k8s.io/v1",
        "clusterrolebindings",
        "ClusterRoleBinding",
        {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "x"}},
    ),
    ("resource.k8s.io/v1", "deviceclasses", "DeviceClass", {"spec": {}}),
    (
        "resource.k8s.io/v1",
        "resourceslices",
        "ResourceSlice",
        {
            "spec": {
                "driver": "d.example.com",
                "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1},
                "allNodes": True,
                "devices": [{"name": "d"}],
            }
        },
    ),
    ("scheduling.k8s.io/v1", "priorityclasses", "PriorityClass", {"value": 10}),
    ("storage.k8s.io/v1", "storageclasses", "StorageClass", {"provisioner": "e2e-fake-provisioner"}),
    ("storage.k8s.io/v1", "csidrivers", "CSIDriver", {"spec": {}}),
    (
        "storage.k8s.io/v1",
        "volumeattributesclasses",
        "VolumeAttributesClass",
        {"driverName": "x", "parameters": {"a": "b"}},
    ),
]


def managers(obj: Object) -> set[tuple[str, str]]:
    return {(each["manager"], each["operation"]) for each in obj["metadata"].get("managedFields") or ()}


def labelled(of: Resource, made: Object, kind: str) -> Object:
    """The object after a patch of this kind, which sets a label."""
    name, uid = made["metadata"]["name"], made["metadata"]["uid"]
    head = {"apiVersion": of.group_version, "kind": of.kind}
    wanted: Any = {**head, "metadata": {"name": name, "uid": uid, "labels": {LABEL: kind}}}
    query = {"fieldValidation": "Strict"}
    if kind == "json":
        wanted = [{"op": "add", "path": "/metadata/labels", "value": {LABEL: kind}}]
    if kind == "apply":
        query |= {"fieldManager": "test-apply", "force": "true"}
    return of.patch(name, wanted, kind, **query)


def walk(client: Client, dynamic: Client, of: Resource, body: Object) -> None:
    name = f"test-{of.namespace}".rstrip("-") if of.namespace else f"test-{of.plural}"
    if of.plural == "csidrivers":
        name = "test.example.com"
    wanted = {"metadata": {"name": name, "labels": {LABEL: "initial"}}, **body}
    untyped = dynamic.of(of.group_version, of.plural, of.kind, of.namespace)
    with of.watch(fieldSelector=f"metadata.name={name}") as events:
        made = untyped.create(wanted, fieldValidation="Strict")
        assert managers(made) == {("e2e.test", "Update")}
        events.until("ADDED")
        assert of.get(name)["metadata"]["uid"] == made["metadata"]["uid"]
        changed = of.change(name, lambda obj: operations.annotate(obj, "updated"))
        assert int(changed["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
        events.until("MODIFIED", lambda obj: operations.annotation(obj, "updated") == "true")
        for kind in ("strategic", "merge", "json", "apply"):
            patched = labelled(of, untyped.get(name), kind)
            assert patched["metadata"]["labels"] == {LABEL: kind}
            assert untyped.get(name)["metadata"]["labels"] == {LABEL: kind}
            events.until("MODIFIED", lambda obj, kind=kind: obj["metadata"]["labels"].get(LABEL) == kind)
        assert ("test-apply", "Apply") in managers(patched)
        [entry] = [each for each in patched["metadata"]["managedFields"] if each["manager"] == "test-apply"]
        assert json.loads(json.dumps(entry["fieldsV1"])) == {"f:metadata": {"f:labels": {f"f:{LABEL}": {}}}}
        with pytest.raises(ApiError, match=r"Apply failed with 1 conflict"):
            of.patch(
                name,
                {
                    "apiVersion": of.group_version,
                    "kind": of.kind,
                    "metadata": {"labels": {LABEL: "other"}},
                },
                "apply",
                fieldManager="other",
            )
        of.patch(name, {"metadata": {"finalizers": None}})
        of.delete(name, gracePeriodSeconds=0)
        until("it is gone", lambda: not of.exists(name))
        events.until("DELETED")


@pytest.mark.parametrize(
    ("group_version", "plural", "kind", "body"), NAMESPACED, ids=[f"{row[1]}-{row[0]}" for row in NAMESPACED]
)
def test_namespaced(
    client: Client, dynamic: Client, namespace: str, group_version: str, plural: str, kind: str, body: Object
) -> None:
    body = json.loads(json.dumps(body).replace("{namespace}", namespace))
    walk(client, dynamic, client.of(group_version, plural, kind, namespace), body)


@pytest.mark.parametrize(
    ("group_version", "plural", "kind", "body"), CLUSTER, ids=[f"{row[1]}-{row[0]}" for row in CLUSTER]
)
def test_of_the_cluster(
    client: Client, dynamic: Client, group_version: str, plural: str, kind: str, body: Object
) -> None:
    walk(client, dynamic, client.of(group_version, plural, kind), body)
