"""What a write may set and what the server sets."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from control_plane.api import strategy
from control_plane.api.conversion import convert
from control_plane.api.registry import Registry, Resource
from control_plane.api.strategy import strategy_for
from control_plane.api.strategy.qos import qos_class
from tests.control_plane.api import samples
from tests.control_plane.api.samples import resource, stored


def test_status_is_the_servers_on_create() -> None:
    _, pod = stored("pods", samples.pod() | {"status": {"phase": "Running", "podIP": "1.2.3.4"}})
    assert pod["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    _, service = stored(
        "services", {"spec": {"ports": [{"port": 1}]}, "status": {"conditions": [{"type": "x"}]}}
    )
    assert service["status"] == {"loadBalancer": {}}
    _, node = stored("nodes", {"metadata": {"name": "n"}, "status": {"capacity": {"cpu": "1"}}})
    assert node["status"]["capacity"] == {"cpu": "1"}, "a kubelet registers with its status"


@pytest.mark.parametrize(
    ("kind", "obj", "kept"),
    [
        ("deployments.apps", samples.workload(), {"labels"}),
        ("replicasets.apps", samples.workload(), set()),
        ("flowschemas.flowcontrol.apiserver.k8s.io", {"metadata": {"name": "x"}}, {"labels", "annotations"}),
        ("resourceclaims.resource.k8s.io", {"metadata": {"name": "x"}}, {"labels", "annotations"}),
        ("volumeattachments.storage.k8s.io", {"metadata": {"name": "x"}}, {"labels", "annotations"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_metadata_in_a_write_of_the_status(kind: str, obj: dict[str, Any], kept: set[str]) -> None:
    found, old = stored(kind, obj)
    new = deepcopy(old)
    new["metadata"] |= {"labels": {"by": "status"}, "annotations": {"by": "status"}}
    strategy_for(found).prepare_for_status_update(new, old)
    changed = {
        key for key in ("labels", "annotations") if new["metadata"].get(key) != old["metadata"].get(key)
    }
    assert changed == {"labels", "annotations"} - kept


def test_status_and_spec_are_written_apart() -> None:
    kind, old = stored("deployments.apps", samples.workload())
    new = deepcopy(old)
    new["spec"]["replicas"] = 5
    new["status"] = {"replicas": 9}
    spec_write, status_write = deepcopy(new), deepcopy(new)
    strategy_for(kind).prepare_for_update(spec_write, old)
    assert (spec_write["spec"]["replicas"], spec_write["status"]) == (5, old["status"])
    strategy_for(kind).prepare_for_status_update(status_write, old)
    assert (status_write["spec"]["replicas"], status_write["status"]) == (1, {"replicas": 9})
    assert status_write["metadata"]["generation"] == 1


@pytest.mark.parametrize(
    ("name", "change", "bumps"),
    [
        ("deployments.apps", ("spec", "replicas"), True),
        ("deployments.apps", ("metadata", "labels"), False),
        ("deployments.apps", ("metadata", "annotations"), True),
        ("replicasets.apps", ("metadata", "annotations"), False),
    ],
)
def test_generation_counts_changes_of_the_wish(name: str, change: tuple[str, str], bumps: bool) -> None:
    kind, old = stored(name, samples.workload())
    new = deepcopy(old)
    new[change[0]][change[1]] = 7 if change[0] == "spec" else {"a": "b"}
    new["metadata"]["generation"] = 99
    strategy_for(kind).prepare_for_update(new, old)
    assert new["metadata"]["generation"] == (2 if bumps else 1)


def test_server_metadata_is_restored_and_a_wrong_uid_stays_to_be_refused() -> None:
    kind, old = stored("configmaps", {"metadata": {"name": "a"}})
    new = {"metadata": {"name": "a", "uid": "another"}}
    strategy_for(kind).prepare_for_update(new, old)
    assert new["metadata"]["uid"] == "another"
    assert new["metadata"]["creationTimestamp"] == old["metadata"]["creationTimestamp"]


def test_a_job_selects_by_its_uid() -> None:
    _, job = stored("jobs.batch", samples.job())
    uid = job["metadata"]["uid"]
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    assert job["spec"]["template"]["metadata"]["labels"] == {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": "j",
        "controller-uid": uid,
        "job-name": "j",
    }


def test_a_namespace_is_held_by_its_finalizer() -> None:
    kind, namespace = stored("namespaces", {"metadata": {"name": "n"}})
    assert namespace["spec"] == {"finalizers": ["kubernetes"]}
    new = deepcopy(namespace)
    new["spec"] = {}
    strategy_for(kind).prepare_for_update(new, namespace)
    assert new["spec"] == {"finalizers": ["kubernetes"]}
    new["spec"] = {}
    strategy_for(kind).prepare_for_subresource_update("finalize", new, namespace)
    assert new["spec"]["finalizers"] == []


def test_string_data_becomes_data() -> None:
    _, secret = stored(
        "secrets", {"metadata": {"name": "s"}, "stringData": {"a": "x"}, "data": {"a": "eQ==", "b": "eg=="}}
    )
    assert secret["data"] == {"a": "eA==", "b": "eg=="}
    assert "stringData" not in secret


def test_a_certificate_request_names_who_asked() -> None:
    kind = resource("certificatesigningrequests.certificates.k8s.io")
    request: dict[str, Any] = {
        "metadata": {"name": "r"},
        "spec": {"username": "admin", "groups": ["system:masters"]},
    }
    strategy_for(kind).prepare_for_create(request, {"username": "eve", "groups": ["system:authenticated"]})
    assert request["spec"] == {"username": "eve", "groups": ["system:authenticated"]}


def test_a_service_keeps_what_was_allocated() -> None:
    kind, old = stored(
        "services", {"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}
    )
    old["spec"] |= {"clusterIP": "10.96.0.5", "clusterIPs": ["10.96.0.5"], "ipFamilies": ["IPv4"]}
    old["spec"]["ports"][0]["nodePort"] = 30001
    new = {
        "metadata": {"name": "s"},
        "spec": {"type": "NodePort", "ports": [{"port": 80, "protocol": "TCP"}]},
    }
    strategy_for(kind).prepare_for_update(new, old)
    assert new["spec"]["clusterIPs"] == ["10.96.0.5"]
    assert new["spec"]["ports"][0]["nodePort"] == 30001  # type: ignore[index]
    plain = deepcopy(old)
    plain["spec"]["type"] = "ClusterIP"
    strategy_for(kind).prepare_for_update(plain, old)
    assert "nodePort" not in plain["spec"]["ports"][0]
    assert "externalTrafficPolicy" not in plain["spec"]


@pytest.mark.parametrize(
    ("spec", "status", "requested", "period"),
    [
        pytest.param({"nodeName": "n"}, {}, None, 30, id="the pod's own"),
        pytest.param({"nodeName": "n"}, {}, 5, 5, id="as asked"),
        pytest.param({"nodeName": "n"}, {}, 0, 0, id="at once"),
        pytest.param({"nodeName": "n"}, {}, -3, 1, id="negative"),
        pytest.param({}, {}, None, 0, id="not scheduled"),
        pytest.param({"nodeName": "n"}, {"phase": "Succeeded"}, None, 0, id="finished"),
    ],
)
def test_grace(spec: dict[str, Any], status: dict[str, Any], requested: int | None, period: int) -> None:
    pod = {"spec": {"terminationGracePeriodSeconds": 30, **spec}, "status": status}
    assert strategy_for(resource("pods")).grace_period_s(pod, requested) == period


@pytest.mark.parametrize(
    ("requests", "limits", "qos"),
    [
        ({}, {}, "BestEffort"),
        ({"cpu": "1"}, {}, "Burstable"),
        ({"cpu": "1", "memory": "1Gi"}, {"cpu": "1", "memory": "1Gi"}, "Guaranteed"),
        ({"cpu": "1000m", "memory": "1024Mi"}, {"cpu": "1", "memory": "1Gi"}, "Guaranteed"),
        ({"cpu": "1"}, {"cpu": "1"}, "Burstable"),
        ({"cpu": "0"}, {}, "BestEffort"),
        ({"example.com/gpu": "1"}, {"example.com/gpu": "1"}, "BestEffort"),
    ],
)
def test_quality_of_service(requests: dict[str, str], limits: dict[str, str], qos: str) -> None:
    assert qos_class({"containers": [{"resources": {"requests": requests, "limits": limits}}]}) == qos


def test_resize_and_ephemeral_containers_change_only_their_part() -> None:
    kind, old = stored("pods", samples.pod())
    new = deepcopy(old)
    new["metadata"]["labels"] = {"a": "b"}
    new["spec"]["nodeSelector"] = {"a": "b"}
    new["spec"]["containers"][0] |= {"image": "other", "resources": {"limits": {"cpu": "2"}}}
    resized = deepcopy(new)
    strategy_for(kind).prepare_for_subresource_update("resize", resized, old)
    assert resized["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "2"}}
    assert resized["spec"]["containers"][0]["image"] == "nginx"
    assert "labels" not in resized["metadata"]
    new["spec"]["ephemeralContainers"] = [{"name": "debug"}]
    strategy_for(kind).prepare_for_subresource_update("ephemeralcontainers", new, old)
    assert new["spec"] == {**old["spec"], "ephemeralContainers": [{"name": "debug"}]}
    assert new["metadata"]["generation"] == 2


def test_field_values() -> None:
    pod = samples.large_pod()
    values = strategy.field_values(resource("pods"), pod)
    assert values["spec.nodeName"] == "node-1"
    assert values["status.podIPs"] == "10.0.0.1"
    assert values["spec.hostNetwork"] == "false"
    assert strategy.field_values(resource("jobs.batch"), {})["status.successful"] == "0"


def test_unsupported_fields() -> None:
    assert strategy.unsupported_field(resource("pods"), ["spec.nodeName"]) is None
    assert strategy.unsupported_field(resource("pods"), ["spec.x"]) == "field label not supported: spec.x"
    assert strategy.unsupported_field(resource("configmaps"), ["data"]) == (
        '"data" is not a known field selector: only "metadata.name", "metadata.namespace"'
    )


def test_scale() -> None:
    kind, deployment = stored("deployments.apps", samples.workload(replicas=3))
    deployment["status"] = {"replicas": 2}
    scale = strategy.to_scale(kind, deployment)
    assert scale["spec"] == {"replicas": 3}
    assert scale["status"] == {"replicas": 2, "selector": "app=web"}
    scale["spec"]["replicas"] = 0
    assert strategy.from_scale(kind, deployment, scale)["spec"]["replicas"] == 0
    assert deployment["spec"]["replicas"] == 3


@pytest.mark.parametrize(
    "kind", [r for r in Registry.builtin() if r.persisted], ids=lambda r: f"{r.group_resource}/{r.version}"
)
def test_an_update_that_changes_nothing_changes_nothing(kind: Resource) -> None:
    if not kind.is_storage_version:
        return
    _, old = stored(kind.group_resource, {"metadata": {"name": "x"}})
    for prepare in (strategy_for(kind).prepare_for_update, strategy_for(kind).prepare_for_status_update):
        new = deepcopy(old)
        prepare(new, old)
        assert new == old


def test_autoscalers_convert_without_loss() -> None:
    v2 = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h", "annotations": {"a": "b"}},
        "spec": {
            "maxReplicas": 3,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
                },
                {
                    "type": "Pods",
                    "pods": {
                        "metric": {"name": "x"},
                        "target": {"type": "AverageValue", "averageValue": "1"},
                    },
                },
            ],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 1}},
        },
        "status": {
            "currentMetrics": [
                {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 5}}}
            ],
            "conditions": [{"type": "AbleToScale", "status": "True"}],
        },
    }
    v1 = convert(v2, "autoscaling/v1")
    assert v1["spec"] == {"maxReplicas": 3, "targetCPUUtilizationPercentage": 80}
    assert v1["status"] == {"currentCPUUtilizationPercentage": 5}
    assert convert(v1, "autoscaling/v2") == v2


def test_events_convert_both_ways() -> None:
    core = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod"},
        "message": "m",
        "source": {"component": "c"},
        "count": 2,
        "reportingComponent": "",
    }
    new = convert(core, "events.k8s.io/v1")
    assert new["regarding"] == {"kind": "Pod"}
    assert new["note"] == "m"
    assert new["deprecatedCount"] == 2
    assert convert(new, "v1") == core
