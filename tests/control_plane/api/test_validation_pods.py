"""What kube-apiserver's own tests of pods refuse and take: containers, probes, environment."""

from __future__ import annotations

from typing import Any

import pytest

from tests.control_plane.api import samples
from tests.control_plane.api.judging import check
from tests.control_plane.api.pods import C, env, one, pod, ports, probed
from tests.control_plane.api.samples import container

Object = dict[str, Any]
HTTP = {"path": "/", "port": 80}
CONTAINERS: list[Any] = [
    pytest.param(one(image=" nginx"), [f'{C}.image: Invalid value: " nginx": must not have leading'], id="image in spaces"),
    pytest.param(pod(initContainers=[container(name="i", image="x ")]), ["spec.initContainers[0].image: Invalid"], id="image of an init container"),
    pytest.param(one(terminationMessagePolicy="Unknown"), [f"{C}.terminationMessagePolicy: Unsupported"], id="message policy"),
    pytest.param(one(imagePullPolicy="Sometimes"), [f"{C}.imagePullPolicy: Unsupported"], id="pull policy"),
    pytest.param(one(name="x" * 64), [f"{C}.name: Invalid value"], id="long name"),
    pytest.param(ports({"containerPort": 80, "hostPort": 65536}), [f"{C}.ports[0].hostPort: Invalid value: 65536"], id="host port"),
    pytest.param(ports({"name": "x" * 16, "containerPort": 80}), [f"{C}.ports[0].name: Invalid value"], id="long port name"),
    pytest.param(
        ports({"name": "a", "containerPort": 80}, {"name": "a", "containerPort": 81}),
        [f'{C}.ports[1].name: Duplicate value: "a"'],
        id="port names",
    ),
    pytest.param(
        ports({"containerPort": 80, "hostPort": 80}, {"containerPort": 81, "hostPort": 80}),
        [f'{C}.ports[1].hostPort: Duplicate value: "TCP//80"'],
        id="one host port twice",
    ),
    pytest.param(ports({"containerPort": 80, "hostPort": 80}, {"containerPort": 80, "hostPort": 80, "protocol": "UDP"}), [], id="two protocols"),
    pytest.param(
        pod(initContainers=[container(name=name, ports=[{"containerPort": 1, "hostPort": 9}]) for name in "ab"]),
        ['spec.initContainers[1].ports[0].hostPort: Duplicate value: "TCP//9"'],
        id="host ports of init containers",
    ),
    pytest.param(
        pod(hostNetwork=True, containers=[container(ports=[{"containerPort": 80, "hostPort": 81}])]),
        [f"{C}.ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true"],
        id="host network",
    ),
    pytest.param(
        one(lifecycle={"preStop": {}}), [f"{C}.lifecycle.preStop: Required value: must specify a handler type"], id="hook of nothing"
    ),
    pytest.param(one(lifecycle={"postStart": {"exec": {"command": []}}}), [f"{C}.lifecycle.postStart.exec.command: Required"], id="no command"),
    pytest.param(
        one(lifecycle={"preStop": {"exec": {"command": ["a"]}, "tcpSocket": {"port": 1}}}),
        [f"{C}.lifecycle.preStop.tcpSocket: Forbidden: may not specify more than 1 handler type"],
        id="two hooks",
    ),
    pytest.param(
        pod(initContainers=[container(name="i", livenessProbe={"exec": {"command": ["a"]}})]),
        ["spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always"],
        id="probe of an init container",
    ),
    pytest.param(
        pod(initContainers=[container(name="i", restartPolicy="Always", livenessProbe={"exec": {"command": ["a"]}})]),
        [],
        id="probe of a sidecar",
    ),
    pytest.param(
        pod(initContainers=[container(name="c")]), ['spec.initContainers[0].name: Duplicate value: "c"'], id="init container's name"
    ),
]  # fmt: skip
PROBES: list[Any] = [
    pytest.param(probed({"grpc": {"port": 80, "service": "x"}}), [], id="grpc"),
    pytest.param(probed({"grpc": {"port": 0}}), [f"{C}.livenessProbe.grpc.port: Invalid value: 0: must be between 1"], id="grpc port"),
    pytest.param(
        probed({"grpc": {"port": 80}, "httpGet": HTTP}),
        [f"{C}.livenessProbe.grpc: Forbidden: may not specify more than 1 handler type"],
        id="grpc and http",
    ),
    pytest.param(probed({"httpGet": {**HTTP, "path": ""}}), [], id="http path by default"),
    pytest.param(probed({"httpGet": {**HTTP, "port": "a_b"}}), [f'{C}.livenessProbe.httpGet.port: Invalid value: "a_b"'], id="http port name"),
    pytest.param(probed({"httpGet": {**HTTP, "scheme": "FTP"}}), [f'{C}.livenessProbe.httpGet.scheme: Unsupported value: "FTP"'], id="http scheme"),
    pytest.param(
        probed({"httpGet": {**HTTP, "httpHeaders": [{"name": "a b", "value": ""}]}}),
        [f'{C}.livenessProbe.httpGet.httpHeaders: Invalid value: "a b"'],
        id="http header",
    ),
    pytest.param(probed({"tcpSocket": {"port": 70000}}), [f"{C}.livenessProbe.tcpSocket.port: Invalid value: 70000"], id="tcp port"),
    pytest.param(
        probed({"exec": {"command": ["a"]}, "initialDelaySeconds": -1, "failureThreshold": -2}),
        [f"{C}.livenessProbe.initialDelaySeconds: Invalid value: -1", f"{C}.livenessProbe.failureThreshold: Invalid value: -2"],
        id="negative numbers",
    ),
    pytest.param(probed({"exec": {"command": ["a"]}, "successThreshold": 2}), [f"{C}.livenessProbe.successThreshold: Invalid value: 2: must be 1"], id="successes of liveness"),
    pytest.param(probed({"exec": {"command": ["a"]}, "successThreshold": 2}, "startupProbe"), [f"{C}.startupProbe.successThreshold: Invalid"], id="successes of a start"),
    pytest.param(probed({"exec": {"command": ["a"]}, "successThreshold": 2}, "readinessProbe"), [], id="successes of readiness"),
    pytest.param(
        probed({"exec": {"command": ["a"]}, "terminationGracePeriodSeconds": 0}),
        [f"{C}.livenessProbe.terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0"],
        id="grace of none",
    ),
    pytest.param(
        probed({"exec": {"command": ["a"]}, "terminationGracePeriodSeconds": 1}, "readinessProbe"),
        [f"{C}.readinessProbe.terminationGracePeriodSeconds: Invalid value: 1: must not be set for readinessProbes"],
        id="grace of readiness",
    ),
]  # fmt: skip
ENVIRONMENT: list[Any] = [
    pytest.param(one(env=[{"name": ""}]), [f"{C}.env[0].name: Required value"], id="no name"),
    pytest.param(one(env=[{"name": "a=b"}]), [f'{C}.env[0].name: Invalid value: "a=b"'], id="name"),
    pytest.param(env(), [f'{C}.env[0].valueFrom: Invalid value: "": must specify one of'], id="from nothing"),
    pytest.param(env(fieldRef={"fieldPath": "status.phase"}), [f'{C}.env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "status.phase"'], id="field"),
    pytest.param(env(fieldRef={"fieldPath": "metadata.labels['a']"}), [], id="a label"),
    pytest.param(env(fieldRef={"fieldPath": "metadata.labels"}), [f"{C}.env[0].valueFrom.fieldRef.fieldPath: Invalid"], id="all labels"),
    pytest.param(env(resourceFieldRef={"resource": "limits.gpu"}), [f"{C}.env[0].valueFrom.resourceFieldRef.resource: Unsupported"], id="resource"),
    pytest.param(env(resourceFieldRef={"resource": "limits.cpu", "divisor": "1m"}), [], id="cpu in millis"),
    pytest.param(
        env(resourceFieldRef={"resource": "limits.cpu", "divisor": "1Mi"}),
        [f'{C}.env[0].valueFrom.resourceFieldRef.divisor: Invalid value: "1Mi": only divisor\'s values 1m and 1 are supported with the cpu resource'],
        id="cpu in bytes",
    ),
    pytest.param(
        env(resourceFieldRef={"resource": "limits.memory", "divisor": "1m"}),
        [f'{C}.env[0].valueFrom.resourceFieldRef.divisor: Invalid value: "1m": only divisor\'s values 1, 1k, 1M,'],
        id="memory in millis",
    ),
    pytest.param(env(secretKeyRef={"name": "s", "key": "a b"}), [f'{C}.env[0].valueFrom.secretKeyRef.key: Invalid value: "a b"'], id="key"),
    pytest.param(one(envFrom=[{}]), [f'{C}.envFrom[0]: Invalid value: "": must specify one of: `configMapRef` or `secretRef`'], id="all of nothing"),
    pytest.param(one(envFrom=[{"configMapRef": {"name": ""}}]), [f"{C}.envFrom[0].configMapRef.name: Required value"], id="all of no name"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("obj", "told"),
    [
        pytest.param(*each.values, id=f"{area}: {each.id}")
        for area, cases in {"containers": CONTAINERS, "probes": PROBES, "environment": ENVIRONMENT}.items()
        for each in cases
    ],
)
def test_pods(obj: Object, told: list[str]) -> None:
    check("pods", obj, told)


def test_a_template_may_have_an_image_in_spaces() -> None:
    made = samples.workload()
    made["spec"]["template"]["spec"]["containers"][0]["image"] = " "
    check("deployments.apps", made, [])
