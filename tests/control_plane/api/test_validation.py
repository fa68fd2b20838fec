"""Semantic validation: what is refused, and in which words."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from control_plane.api.validation import validate_create
from tests.control_plane.api import samples
from tests.control_plane.api.samples import container, cron, named, service, stored

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
