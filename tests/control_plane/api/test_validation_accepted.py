"""Semantic validation: what is accepted, new and again."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from control_plane.api.validation import validate_create, validate_update
from tests.control_plane.api import samples
from tests.control_plane.api.samples import cron, named, service, stored

Object = dict[str, Any]


VALID = [
    ("pods", samples.pod()),
    ("pods", samples.large_pod()),
    ("deployments.apps", samples.workload()),
    ("replicasets.apps", samples.workload()),
    ("daemonsets.apps", samples.workload()),
    ("statefulsets.apps", samples.workload(serviceName="s")),
    ("replicationcontrollers", named("r") | {"spec": {"template": samples.workload()["spec"]["template"]}}),
    ("jobs.batch", samples.job()),
    ("cronjobs.batch", cron()),
    ("cronjobs.batch", cron(schedule="*/5 0-4,6 1 jan mon-fri", timeZone="Europe/Berlin")),
    ("cronjobs.batch", cron(schedule="@hourly")),
    ("services", service()),
    ("services", service(clusterIP="None", ports=[])),
    ("services", named("s") | {"spec": {"type": "ExternalName", "externalName": "example.com"}}),
    ("configmaps", named("c") | {"data": {"a.b-c_d": "x"}}),
    ("secrets", named("s") | {"stringData": {"a": "x"}}),
    ("namespaces", named("n")),
    ("nodes", named("n.example.com") | {"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}),
    ("serviceaccounts", named("default")),
    (
        "roles.rbac.authorization.k8s.io",
        named("system:x") | {"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]},
    ),
    (
        "clusterrolebindings.rbac.authorization.k8s.io",
        named("b")
        | {"roleRef": {"kind": "ClusterRole", "name": "x"}, "subjects": [{"kind": "Group", "name": "g"}]},
    ),
    (
        "leases.coordination.k8s.io",
        named("l") | {"spec": {"holderIdentity": "me", "leaseDurationSeconds": 15}},
    ),
    ("priorityclasses.scheduling.k8s.io", named("high") | {"value": 1000}),
    ("priorityclasses.scheduling.k8s.io", named("system-node-critical") | {"value": 2000001000}),
    ("poddisruptionbudgets.policy", named("p") | {"spec": {"minAvailable": "50%"}}),
    (
        "persistentvolumeclaims",
        named("c")
        | {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}},
    ),
    (
        "persistentvolumes",
        named("v")
        | {
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "capacity": {"storage": "1Gi"},
                "hostPath": {"path": "/x"},
            }
        },
    ),
    ("storageclasses.storage.k8s.io", named("s") | {"provisioner": "example.com/x"}),
    (
        "horizontalpodautoscalers.autoscaling",
        named("h") | {"spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "web"}}},
    ),
    ("networkpolicies.networking.k8s.io", named("n") | {"spec": {"ingress": [{"ports": [{"port": 80}]}]}}),
    ("resourcequotas", named("q") | {"spec": {"hard": {"pods": "5", "requests.cpu": "1"}}}),
    ("limitranges", named("l") | {"spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}}]}}),
    ("endpoints", named("e") | {"subsets": [{"addresses": [{"ip": "1.2.3.4"}], "ports": [{"port": 80}]}]}),
    (
        "endpointslices.discovery.k8s.io",
        named("e") | {"addressType": "IPv4", "endpoints": [{"addresses": ["1.2.3.4"]}]},
    ),
    ("events", {"metadata": {"name": "a.1"}, "involvedObject": {"namespace": "default"}}),
]


@pytest.mark.parametrize(("name", "obj"), VALID, ids=[f"{i}-{name}" for i, (name, _) in enumerate(VALID)])
def test_accepted(name: str, obj: Object) -> None:
    kind, made = stored(name, deepcopy(obj))
    assert [str(e) for e in validate_create(kind, made)] == []
    assert [str(e) for e in validate_update(kind, deepcopy(made), made)] == []
