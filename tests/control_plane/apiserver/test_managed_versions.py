"""managedFields of a built-in that is served in two versions: each writer's entry is of the version it used."""

from __future__ import annotations

import json
from typing import Any

from tests.control_plane.apiserver.harness import Harness

APPLY = {"Content-Type": "application/apply-patch+yaml"}
MERGE = {"Content-Type": "application/merge-patch+json"}
TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
CPU = "targetCPUUtilizationPercentage"

Object = dict[str, Any]


def url(version: str, namespace: str) -> str:
    return f"/apis/autoscaling/{version}/namespaces/{namespace}/horizontalpodautoscalers"


def autoscaler(version: str, **spec: Any) -> Object:
    head = {
        "apiVersion": f"autoscaling/{version}",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h"},
    }
    return {**head, "spec": {"scaleTargetRef": TARGET, "maxReplicas": 5, **spec}}


def cpu(percent: int) -> list[Object]:
    target = {"type": "Utilization", "averageUtilization": percent}
    return [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]


def owned(obj: Object) -> dict[tuple[str, str], set[str]]:
    """The fields of the spec, by manager and version."""
    return {
        (each["manager"], each["apiVersion"]): set(each["fieldsV1"].get("f:spec", {}))
        for each in obj["metadata"]["managedFields"]
    }


def test_writes_through_either_version(api: Harness, namespace: str) -> None:
    v1, v2 = (url(each, namespace) for each in ("v1", "v2"))
    made = api.create(f"{v1}?fieldManager=ann", autoscaler("v1", **{CPU: 50}))
    spec = {"f:scaleTargetRef", "f:maxReplicas", "f:minReplicas", f"f:{CPU}"}
    assert owned(made) == {("ann", "autoscaling/v1"): spec}
    body = json.dumps({"spec": {"maxReplicas": 7}})
    found = api.request("PATCH", f"{v2}/h?fieldManager=bob", body, MERGE).body
    assert owned(found) == {
        ("ann", "autoscaling/v1"): spec - {"f:maxReplicas"},
        ("bob", "autoscaling/v2"): {"f:maxReplicas"},
    }
    body = json.dumps({"spec": {"metrics": cpu(60)}})
    found = api.request("PATCH", f"{v2}/h?fieldManager=bob", body, MERGE).body
    assert owned(found) == {
        ("ann", "autoscaling/v1"): spec - {"f:maxReplicas", f"f:{CPU}"},
        ("bob", "autoscaling/v2"): {"f:maxReplicas", "f:metrics"},
    }
    assert owned(api.get(f"{v1}/h")) == owned(found)  # the entries are not converted, only compared


def test_applies_through_either_version(api: Harness, namespace: str) -> None:
    v1, v2 = (url(each, namespace) for each in ("v1", "v2"))

    def apply(path: str, manager: str, config: Object) -> Any:
        return api.request("PATCH", f"{path}/h?fieldManager={manager}", json.dumps(config), APPLY)

    assert apply(v1, "ann", autoscaler("v1", **{CPU: 50})).status == 201
    refused = apply(v2, "bob", autoscaler("v2", metrics=cpu(60)))
    assert refused.status == 409
    assert f'conflict with "ann": .spec.{CPU}' in refused.body["message"]
    assert apply(v2, "bob", autoscaler("v2", metrics=cpu(50))).status == 200
    moved = apply(v2, "ann", autoscaler("v2", minReplicas=2)).body
    assert owned(moved)["ann", "autoscaling/v2"] == {"f:scaleTargetRef", "f:maxReplicas", "f:minReplicas"}
    assert ("ann", "autoscaling/v1") not in owned(moved)
    assert moved["spec"]["metrics"] == cpu(50)  # bob has it too
    assert apply(v2, "bob", autoscaler("v2")).body["spec"]["metrics"] == cpu(80)  # gone: the default


def test_an_event_in_either_group(api: Harness, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/events"
    event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": namespace}}
    about = {"kind": "Pod", "name": "p", "namespace": namespace}
    api.create(f"{path}?fieldManager=ann", {**event, "involvedObject": about, "message": "x", "reason": "R"})
    other = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events/e"
    found = api.request("PATCH", f"{other}?fieldManager=bob", json.dumps({"note": "y"}), MERGE).body
    fields = {each["manager"]: each for each in found["metadata"]["managedFields"]}
    assert fields["bob"]["apiVersion"] == "events.k8s.io/v1"
    assert fields["bob"]["fieldsV1"] == {"f:note": {}}
    assert fields["ann"]["apiVersion"] == "v1"
    assert "f:message" not in fields["ann"]["fieldsV1"]
    assert {"f:involvedObject", "f:reason"} <= set(fields["ann"]["fieldsV1"])
