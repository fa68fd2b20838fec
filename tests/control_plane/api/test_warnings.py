"""What is accepted but worth a word, in kube-apiserver's words."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from control_plane.api.validation import warnings
from tests.control_plane.api import samples
from tests.control_plane.api.samples import container, stored

Object = dict[str, Any]


def service(**spec: Any) -> Object:
    return {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], **spec}}


def annotated(obj: Object, *keys: str) -> Object:
    return {**obj, "metadata": {"name": "n", "annotations": dict.fromkeys(keys, "x")}}


PORTS = [{"containerPort": 80}, {"containerPort": 80}, {"containerPort": 80, "hostPort": 81}]
CASES: list[Any] = [
    pytest.param(
        "pods",
        samples.pod(containers=[container(ports=PORTS)]),
        [
            "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
            "spec.containers[0].ports[2]: overlapping port definition with spec.containers[0].ports[0]",
            "spec.containers[0].ports[2]: overlapping port definition with spec.containers[0].ports[1]",
        ],
        id="ports",
    ),
    pytest.param(
        "pods",
        samples.pod(containers=[container(ports=[{"containerPort": 80, "hostIP": "1.2.3.4"}])]),
        [
            "spec.containers[0].ports[0]: hostIP set without hostPort: {Name: HostPort:0 ContainerPort:80 Protocol:TCP HostIP:1.2.3.4}"
        ],
        id="address without port",
    ),
    pytest.param(
        "pods",
        samples.pod(containers=[container(env=[{"name": "A", "value": "x"}, {"name": "A", "value": "$(A)y"}])]),
        [],
        id="a variable built on itself",
    ),
    pytest.param(
        "pods",
        samples.pod(containers=[container(resources={"limits": {"memory": "100m"}})]),
        [
            'spec.containers[0].resources.limits[memory]: fractional byte value "100m" is invalid, must be an integer',
            'spec.containers[0].resources.requests[memory]: fractional byte value "100m" is invalid, must be an integer',
        ],
        id="part of a byte",
    ),
    pytest.param(
        "pods",
        samples.pod(
            hostAliases=[{"ip": "1.1.1.1"}, {"ip": "1.1.1.1"}],
            imagePullSecrets=[{"name": "a"}, {"name": "a"}, {}],
        ),
        [
            'spec.hostAliases[1].ip: duplicate ip "1.1.1.1"',
            'spec.imagePullSecrets[1].name: duplicate name "a"',
            'spec.imagePullSecrets[2].name: invalid empty name ""',
        ],
        id="repetitions",
    ),
    pytest.param(
        "pods",
        samples.pod(volumes=[{"name": "v", "rbd": {"image": "i", "monitors": ["m"]}}]),
        ["spec.volumes[0].rbd: deprecated in v1.28, non-functional in v1.31+"],
        id="old volumes",
    ),
    pytest.param(
        "pods",
        samples.pod(
            topologySpreadConstraints=[
                {
                    "maxSkew": 1,
                    "topologyKey": "failure-domain.beta.kubernetes.io/zone",
                    "whenUnsatisfiable": "DoNotSchedule",
                }
            ]
        ),
        [
            "spec.topologySpreadConstraints[0].topologyKey: failure-domain.beta.kubernetes.io/zone is deprecated since "
            'v1.17; use "topology.kubernetes.io/zone" instead',
            "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
        ],
        id="spread",
    ),
    pytest.param(
        "services",
        service(clusterIP="None", externalIPs=["1.2.3.4"], sessionAffinity="ClientIP"),
        [
            "spec.externalIPs is ignored for headless services",
            "spec.SessionAffinity is ignored for headless services",
        ],
        id="headless",
    ),
    pytest.param(
        "services",
        service(externalIPs=["1.2.3.4"], externalName="x"),
        [
            "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
            'spec.externalName is ignored when spec.type is not "ExternalName"',
        ],
        id="external",
    ),
    pytest.param(
        "ingresses.networking.k8s.io",
        annotated(
            {"spec": {"defaultBackend": {"resource": {"kind": "K", "name": "n"}}}},
            "kubernetes.io/ingress.class",
        ),
        [
            "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"
        ],
        id="ingress class",
    ),
    pytest.param(
        "persistentvolumes",
        {"metadata": {"name": "v"}, "spec": {"persistentVolumeReclaimPolicy": "Recycle"}},
        [
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended "
            "approach is to use dynamic provisioning."
        ],
        id="recycle",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "obj", "expected"), CASES)
def test_warned(name: str, obj: Object, expected: list[str]) -> None:
    kind, made = stored(name, deepcopy(obj))
    assert warnings(kind, made) == expected


def test_a_template_says_where_it_is() -> None:
    kind, made = stored("deployments.apps", samples.workload())
    made["spec"]["template"]["metadata"]["annotations"] = {"seccomp.security.alpha.kubernetes.io/pod": "x"}
    assert warnings(kind, made) == [
        "spec.template.metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: non-functional in v1.27+; use "
        'the "seccompProfile" field instead'
    ]


def test_of_pods_and_of_what_makes_them() -> None:
    kind, pod = stored(
        "pods",
        {"metadata": {"name": "a.b"}}
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
