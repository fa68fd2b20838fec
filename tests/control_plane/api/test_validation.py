"""Semantic validation: what is refused, and in which words."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from control_plane.api import defaults
from control_plane.api.validation import validate_create, validate_update, warnings
from tests.control_plane.api import samples
from tests.control_plane.api.samples import container, stored

Object = dict[str, Any]

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


def named(name: str, **more: Any) -> Object:
    return {"metadata": {"name": name, **more}}


def service(**spec: Any) -> Object:
    return named("s") | {"spec": {"ports": [{"port": 80}], **spec}}


def cron(**spec: Any) -> Object:
    return named("c") | {
        "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": samples.job()["spec"]}, **spec}
    }


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


REFUSED: list[Any] = [
    pytest.param("pods", named("A") | {"spec": samples.pod()["spec"]}, [f'metadata.name: Invalid value: "A": {SUBDOMAIN}'], id="name"),
    pytest.param("namespaces", named("a.b"), ['metadata.name: Invalid value: "a.b": must not contain dots'], id="dots"),
    pytest.param("configmaps", {}, ["metadata.name: Required value: name or generateName is required"], id="no name"),
    pytest.param("nodes", named("n", namespace="x"), ["metadata.namespace: Forbidden: not allowed on this type"], id="namespace"),
    pytest.param(
        "configmaps",
        named("c", labels={"a": "b c"}),
        [
            'metadata.labels: Invalid value: "b c": a valid label must be an empty string or consist of alphanumeric '
            "characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or "
            "'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
        ],
        id="label",
    ),
    pytest.param(
        "configmaps",
        named("c", annotations={"a": "x" * 300_000}),
        ["metadata.annotations: Too long: may not be more than 262144 bytes"],
        id="annotations",
    ),
    pytest.param(
        "configmaps",
        named("c", ownerReferences=[{"apiVersion": "v1", "kind": "Pod"}]),
        [
            "metadata.ownerReferences[0].name: Required value: must not be empty",
            "metadata.ownerReferences[0].uid: Required value: must not be empty",
        ],
        id="owner",
    ),
    pytest.param("pods", named("p") | {"spec": {}}, ["spec.containers: Required value"], id="no containers"),
    pytest.param(
        "pods",
        samples.pod(containers=[container(), container()]),
        ['spec.containers[1].name: Duplicate value: "c"'],
        id="same name",
    ),
    pytest.param(
        "pods",
        samples.pod(containers=[{"name": "A_B"}]),
        [f'spec.containers[0].name: Invalid value: "A_B": {LABEL}', "spec.containers[0].image: Required value"],
        id="container",
    ),
    pytest.param(
        "pods",
        samples.pod(containers=[container(ports=[{"containerPort": 70000}, {"containerPort": 1, "protocol": "X"}])]),
        [
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            'spec.containers[0].ports[1].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"',
        ],
        id="ports",
    ),
    pytest.param(
        "pods",
        samples.pod(containers=[container(volumeMounts=[{"name": "v", "mountPath": "/a"}])]),
        ['spec.containers[0].volumeMounts[0].name: Not found: "v"'],
        id="no volume",
    ),
    pytest.param(
        "pods",
        samples.pod(volumes=[{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]),
        ["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
        id="two volumes",
    ),
    pytest.param(
        "pods",
        samples.pod(containers=[container(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}})]),
        ['spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'],
        id="request above limit",
    ),
    pytest.param(
        "pods",
        samples.pod(containers=[container(livenessProbe={})]),
        ["spec.containers[0].livenessProbe: Required value: must specify a handler type"],
        id="probe",
    ),
    pytest.param(
        "pods",
        samples.pod(restartPolicy="Sometimes"),
        ['spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"'],
        id="restart policy",
    ),
    pytest.param(
        "pods",
        samples.pod(containers=[container(env=[{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}])]),
        ['spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'],
        id="env",
    ),
    pytest.param(
        "deployments.apps",
        named("d") | {"spec": {"template": {"spec": {"containers": [container()]}}}},
        [
            "spec.selector: Required value",
            "spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`",
        ],
        id="no selector",
    ),
    pytest.param(
        "deployments.apps",
        samples.workload(selector={"matchLabels": {"app": "x"}}),
        ['spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`'],
        id="selector",
    ),
    pytest.param(
        "deployments.apps",
        samples.workload(replicas=-1),
        ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
        id="replicas",
    ),
    pytest.param(
        "deployments.apps",
        samples.workload(strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}),
        ["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"],
        id="strategy",
    ),
    pytest.param(
        "jobs.batch",
        samples.job(template={"spec": {"containers": [container()]}}),
        ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
        id="job",
    ),
    pytest.param(
        "cronjobs.batch",
        cron(schedule="61 * * * *"),
        ['spec.schedule: Invalid value: "61 * * * *": end of range (61) above maximum (59): 61'],
        id="schedule",
    ),
    pytest.param(
        "cronjobs.batch",
        cron(timeZone="Mars/Olympus"),
        ['spec.timeZone: Invalid value: "Mars/Olympus": unknown time zone Mars/Olympus'],
        id="time zone",
    ),
    pytest.param("services", named("s"), ["spec.ports: Required value"], id="service without ports"),
    pytest.param(
        "services",
        service(ports=[{"port": 80}, {"port": 81}]),
        ["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
        id="port names",
    ),
    pytest.param(
        "services",
        service(ports=[{"port": 80, "nodePort": 30000}]),
        ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
        id="node port",
    ),
    pytest.param(
        "secrets",
        named("s") | {"type": "kubernetes.io/tls", "data": {"tls.crt": ""}},
        ["data[tls.key]: Required value"],
        id="tls secret",
    ),
    pytest.param(
        "configmaps",
        named("c") | {"data": {"a": "x" * (1 << 20), "b": "y"}},
        [": Too long: may not be more than 1048576 bytes"],
        id="size",
    ),
    pytest.param(
        "rolebindings.rbac.authorization.k8s.io",
        named("b") | {"roleRef": {"kind": "X", "name": "x"}},
        ['roleRef.kind: Unsupported value: "X": supported values: "Role", "ClusterRole"'],
        id="role kind",
    ),
    pytest.param(
        "persistentvolumeclaims",
        named("c") | {"spec": {}},
        ["spec.accessModes: Required value: at least 1 access mode is required", "spec.resources[storage]: Required value"],
        id="claim",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "obj", "expected"), REFUSED)
def test_refused(name: str, obj: Object, expected: list[str]) -> None:
    kind, made = stored(name, {"metadata": {}, **deepcopy(obj)})
    assert [str(e) for e in validate_create(kind, made)] == expected


def changed(obj: Object, path: str, value: Any) -> Object:
    new = deepcopy(obj)
    at: Any = new
    *steps, last = path.split(".")
    for step in steps:
        at = at[int(step)] if step.isdigit() else at.setdefault(step, {})
    at[last] = value
    return new


UPDATES: list[Any] = [
    pytest.param("pods", samples.pod(), "spec.containers.0.image", "other", [], id="pod image"),
    pytest.param(
        "pods",
        samples.pod(),
        "spec.containers.0.command",
        ["x"],
        ["spec: Forbidden: pod updates may not change fields other than"],
        id="pod command",
    ),
    pytest.param(
        "pods",
        samples.pod(),
        "spec.containers",
        [container(), container(name="d")],
        ["spec.containers: Forbidden: pod updates may not add or remove containers"],
        id="pod containers",
    ),
    pytest.param(
        "pods", samples.pod(), "spec.tolerations", [{"key": "a", "operator": "Exists"}], [], id="toleration"
    ),
    pytest.param(
        "deployments.apps",
        samples.workload(),
        "spec.selector",
        {"matchLabels": {"app": "web", "x": "y"}},
        [
            "spec.template.metadata.labels: Invalid value",
            'spec.selector: Invalid value: {"matchLabels":{"app":"web","x":"y"}}: field is immutable',
        ],
        id="selector",
    ),
    pytest.param("statefulsets.apps", samples.workload(), "spec.replicas", 4, [], id="stateful replicas"),
    pytest.param(
        "statefulsets.apps",
        samples.workload(),
        "spec.serviceName",
        "x",
        ["spec: Forbidden: updates to statefulset spec for fields other than"],
        id="stateful service",
    ),
    pytest.param(
        "jobs.batch",
        samples.job(),
        "spec.completions",
        9,
        ["spec.completions: Invalid value: 9: field is immutable"],
        id="completions",
    ),
    pytest.param("jobs.batch", samples.job(), "spec.parallelism", 9, [], id="parallelism"),
    pytest.param(
        "secrets",
        named("s"),
        "type",
        "x/y",
        ['type: Invalid value: "x/y": field is immutable'],
        id="secret type",
    ),
    pytest.param(
        "configmaps",
        named("c") | {"immutable": True, "data": {"a": "b"}},
        "data",
        {"a": "c"},
        ["data: Forbidden: field is immutable when `immutable` is set"],
        id="immutable config map",
    ),
    pytest.param(
        "services",
        service(clusterIP="10.96.0.1"),
        "spec.clusterIPs",
        ["10.96.0.2"],
        [
            "spec.clusterIPs: Invalid value",
            'spec.clusterIPs[0]: Invalid value: "10.96.0.2": may not change once set',
        ],
        id="cluster IP",
    ),
    pytest.param(
        "configmaps",
        named("c"),
        "metadata.name",
        "d",
        ['metadata.name: Invalid value: "d": field is immutable'],
        id="name",
    ),
]


@pytest.mark.parametrize(("name", "obj", "path", "value", "expected"), UPDATES)
def test_updates(name: str, obj: Object, path: str, value: Any, expected: list[str]) -> None:
    kind, old = stored(name, deepcopy(obj))
    new = changed(old, path, value)
    defaults.apply(*kind.gvk, new)
    found = [str(e) for e in validate_update(kind, new, old)]
    assert len(found) == len(expected), found
    assert all(text.startswith(start) for text, start in zip(found, expected, strict=True)), found


def test_no_finalizer_is_added_to_what_is_being_deleted() -> None:
    kind, old = stored("configmaps", named("c", finalizers=["x.io/a"]))
    old["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    new = changed(old, "metadata.finalizers", ["x.io/a", "x.io/b"])
    assert [str(e) for e in validate_update(kind, new, old)] == [
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, "
        'found new finalizers []string{"x.io/b"}'
    ]


def test_warnings() -> None:
    kind, pod = stored(
        "pods",
        named("a.b")
        | {
            "spec": {
                "containers": [container(env=[{"name": "A"}, {"name": "A"}])],
                "nodeSelector": {"beta.kubernetes.io/os": "linux"},
                "terminationGracePeriodSeconds": -1,
            }
        },
    )
    assert warnings(kind, pod) == [
        "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; "
        "a DNS label is recommended: [must not contain dots]",
        'spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead',
        'spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply',
        "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
    ]
    assert warnings(kind, pod, pod) == []
    web, deployment = stored("deployments.apps", samples.workload())
    deployment["spec"]["template"]["spec"]["nodeSelector"] = {"beta.kubernetes.io/os": "linux"}
    assert len(warnings(web, deployment)) == 1
    assert warnings(web, deployment, deployment) == []
