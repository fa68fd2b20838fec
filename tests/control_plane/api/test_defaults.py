"""Default values per kind."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.api import decode, defaults, schema
from tests.control_plane.api import samples


def defaulted(group: str, version: str, kind: str, obj: dict[str, Any]) -> dict[str, Any]:
    node = schema.lookup(group, version, kind)
    assert node is not None
    made = decode.decode(node, obj).object
    defaults.apply(group, version, kind, made)
    again = decode.decode(node, made).object
    defaults.apply(group, version, kind, again)
    assert again == made, "defaulting twice is defaulting once"
    return made


def test_a_pod_as_kube_apiserver_fills_it_in() -> None:
    assert defaulted("", "v1", "Pod", samples.pod())["spec"] == {
        "containers": [
            {
                "name": "c",
                "image": "nginx",
                "imagePullPolicy": "Always",
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            }
        ],
        "dnsPolicy": "ClusterFirst",
        "enableServiceLinks": True,
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
    }


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.27", "IfNotPresent"),
        ("localhost:5000/nginx", "Always"),
        ("localhost:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:0123", "IfNotPresent"),
    ],
)
def test_pull_policy(image: str, policy: str) -> None:
    pod = defaulted("", "v1", "Pod", samples.pod(containers=[samples.container(image=image)]))
    assert pod["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_requests_follow_limits_in_pods_but_not_in_templates() -> None:
    limited = samples.container(
        resources={"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "100m"}}
    )
    pod = defaulted("", "v1", "Pod", samples.pod(containers=[limited]))
    assert pod["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "100m", "memory": "1Gi"}
    web = samples.workload()
    web["spec"]["template"]["spec"]["containers"] = [limited]
    deployment = defaulted("apps", "v1", "Deployment", web)
    assert deployment["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "100m"}


@pytest.mark.parametrize(
    ("volume", "filled"),
    [
        ({"name": "v"}, {"emptyDir": {}}),
        ({"name": "v", "configMap": {"name": "c"}}, {"configMap": {"name": "c", "defaultMode": 420}}),
        ({"name": "v", "secret": {"secretName": "s"}}, {"secret": {"secretName": "s", "defaultMode": 420}}),
        ({"name": "v", "hostPath": {"path": "/x"}}, {"hostPath": {"path": "/x", "type": ""}}),
        (
            {"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
            {
                "projected": {
                    "defaultMode": 420,
                    "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}],
                }
            },
        ),
    ],
    ids=["none", "configMap", "secret", "hostPath", "token"],
)
def test_volumes(volume: dict[str, Any], filled: dict[str, Any]) -> None:
    pod = defaulted("", "v1", "Pod", samples.pod(volumes=[volume]))
    assert pod["spec"]["volumes"] == [{"name": "v", **filled}]


def test_probes_ports_and_fields() -> None:
    busy = samples.container(
        livenessProbe={"httpGet": {"port": 80}},
        ports=[{"containerPort": 80}],
        env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
    )
    found = defaulted("", "v1", "Pod", samples.pod(containers=[busy], hostNetwork=True))["spec"][
        "containers"
    ][0]
    assert found["livenessProbe"] == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    assert found["ports"] == [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]
    assert found["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"


def test_the_two_spellings_of_the_service_account_agree() -> None:
    assert defaulted("", "v1", "Pod", samples.pod(serviceAccountName="sa"))["spec"]["serviceAccount"] == "sa"
    assert defaulted("", "v1", "Pod", samples.pod(serviceAccount="sa"))["spec"]["serviceAccountName"] == "sa"


@pytest.mark.parametrize(
    ("gvk", "obj", "expected"),
    [
        pytest.param(
            ("apps", "v1", "Deployment"),
            samples.workload(),
            {
                "replicas": 1,
                "revisionHistoryLimit": 10,
                "progressDeadlineSeconds": 600,
                "strategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
                },
            },
            id="deployment",
        ),
        pytest.param(
            ("apps", "v1", "DaemonSet"),
            samples.workload(),
            {
                "revisionHistoryLimit": 10,
                "updateStrategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0},
                },
            },
            id="daemonset",
        ),
        pytest.param(
            ("apps", "v1", "StatefulSet"),
            samples.workload(),
            {
                "replicas": 1,
                "podManagementPolicy": "OrderedReady",
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
                "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            },
            id="statefulset",
        ),
        pytest.param(
            ("batch", "v1", "Job"),
            samples.job(),
            {
                "completions": 1,
                "parallelism": 1,
                "backoffLimit": 6,
                "completionMode": "NonIndexed",
                "suspend": False,
                "podReplacementPolicy": "TerminatingOrFailed",
            },
            id="job",
        ),
        pytest.param(
            ("batch", "v1", "Job"),
            samples.job(parallelism=3),
            {"parallelism": 3, "backoffLimit": 6},
            id="work queue job",
        ),
        pytest.param(
            ("", "v1", "Service"),
            {"spec": {"ports": [{"port": 80}], "type": "NodePort"}},
            {
                "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
                "sessionAffinity": "None",
                "externalTrafficPolicy": "Cluster",
                "internalTrafficPolicy": "Cluster",
            },
            id="service",
        ),
        pytest.param(
            ("networking.k8s.io", "v1", "NetworkPolicy"),
            {"spec": {"egress": [{}]}},
            {"policyTypes": ["Ingress", "Egress"]},
            id="network policy",
        ),
        pytest.param(
            ("autoscaling", "v2", "HorizontalPodAutoscaler"),
            {"spec": {"maxReplicas": 3}},
            {
                "minReplicas": 1,
                "metrics": [
                    {
                        "type": "Resource",
                        "resource": {
                            "name": "cpu",
                            "target": {"type": "Utilization", "averageUtilization": 80},
                        },
                    }
                ],
            },
            id="autoscaler",
        ),
    ],
)
def test_specs(gvk: tuple[str, str, str], obj: dict[str, Any], expected: dict[str, Any]) -> None:
    spec = defaulted(*gvk, obj)["spec"]
    assert {key: spec.get(key) for key in expected} == expected


def test_a_job_that_is_a_work_queue_has_no_completions() -> None:
    assert "completions" not in defaulted("batch", "v1", "Job", samples.job(parallelism=3))["spec"]


def test_namespaces_carry_their_name_as_a_label() -> None:
    namespace = defaulted("", "v1", "Namespace", {"metadata": {"name": "x"}})
    assert namespace["metadata"]["labels"] == {"kubernetes.io/metadata.name": "x"}


def test_defaults_are_not_shared_between_objects() -> None:
    first = defaulted(
        "autoscaling", "v2", "HorizontalPodAutoscaler", {"spec": {"maxReplicas": 1, "behavior": {}}}
    )
    first["spec"]["behavior"]["scaleUp"]["policies"].clear()
    second = defaulted(
        "autoscaling", "v2", "HorizontalPodAutoscaler", {"spec": {"maxReplicas": 1, "behavior": {}}}
    )
    assert len(second["spec"]["behavior"]["scaleUp"]["policies"]) == 2
