"""Loops that act for nodes and drivers, as processes on a real apiserver; the test plays nodes and drivers with
kubectl."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from control_plane.api import meta
from tests.control_plane.apiserver.harness import Harness
from tests.control_plane.controllers.process import controller_manager

DEADLINE_S = 20.0
POLL_S = 0.1
ZONE = "topology.kubernetes.io/zone"
MANAGED = "volumes.kubernetes.io/controller-managed-attach-detach"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    with Harness(tmp_path_factory.mktemp("loops")) as harness:
        harness.create("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
        yield harness


@pytest.fixture(autouse=True)
def cleared(api: Harness) -> Iterator[None]:
    yield
    api.kubectl("delete", "pods", "--all", "--force", "--grace-period=0")
    api.kubectl("delete", "nodes,services", "--all")


def until(what: str, check: Callable[[], Any], timeout_s: float = DEADLINE_S) -> Any:
    ends = time.monotonic() + timeout_s
    while not (found := check()):
        assert time.monotonic() < ends, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(POLL_S)
    return found


def apply(api: Harness, *objects: dict[str, Any]) -> None:
    for each in objects:
        api.kubectl("apply", "-f", "-", stdin=json.dumps(each))


def get(api: Harness, *words: str) -> Any:
    return json.loads(api.kubectl("get", *words, "-o", "json").stdout)


def node(api: Harness, name: str, zone: str = "a", cpu: str = "4") -> None:
    metadata = {"name": name, "labels": {ZONE: zone}, "annotations": {MANAGED: "true"}}
    apply(api, {"apiVersion": "v1", "kind": "Node", "metadata": metadata})
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}
    status(
        api, f"node/{name}", {"conditions": [ready], "allocatable": {"cpu": cpu}, "capacity": {"cpu": cpu}}
    )
    apply(api, lease(name))


def status(api: Harness, what: str, wanted: dict[str, Any]) -> None:
    api.kubectl("patch", what, "--subresource=status", "--type=merge", "-p", json.dumps({"status": wanted}))


def lease(name: str) -> dict[str, Any]:
    spec = {
        "holderIdentity": name,
        "leaseDurationSeconds": 40,
        "renewTime": meta.rfc3339_micro(time.time()),
    }
    metadata = {"name": name, "namespace": "kube-node-lease"}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


def pod(name: str, on: str, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    containers = [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]
    metadata = {"name": name, "namespace": "default", "labels": labels or {"app": name}}
    full = {"nodeName": on, "containers": containers, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": full}


def test_a_volume_is_attached_and_detached(api: Harness) -> None:
    csi = {"driver": "d.io", "volumeHandle": "h"}
    shared = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": ""}
    volume = {"metadata": {"name": "v"}, "spec": {**shared, "csi": csi}}
    volume["spec"]["claimRef"] = {"namespace": "default", "name": "c"}
    asked = {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": "v"}
    claim = {
        "metadata": {"name": "c", "namespace": "default"},
        "spec": {**asked, "resources": {"requests": {"storage": "1Gi"}}},
    }
    node(api, "n1")
    apply(
        api,
        {"apiVersion": "v1", "kind": "PersistentVolume", **volume},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **claim},
        pod("p", "n1", volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "c"}}]),
    )
    with controller_manager(api, "persistentvolume-attach-detach"):
        found = until("it is asked for", lambda: get(api, "volumeattachments")["items"])[0]
        assert found["spec"]["nodeName"] == "n1"
        assert found["spec"]["source"] == {"persistentVolumeName": "v"}
        status(api, f"volumeattachment/{meta.name_of(found)}", {"attached": True})
        told = until("the node is told", lambda: get(api, "node", "n1")["status"].get("volumesAttached"))
        assert [each["name"] for each in told] == ["kubernetes.io/csi/d.io^h"]
        assert "SuccessfulAttachVolume" in until(
            "an event", lambda: api.kubectl("describe", "pod", "p").stdout
        )
        status(api, "node/n1", {"volumesInUse": ["kubernetes.io/csi/d.io^h"]})
        api.kubectl("delete", "pod", "p", "--force", "--grace-period=0")
        node(api, "n2")
        apply(api, pod("q", "n2", volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "c"}}]))
        until("the second waits", lambda: "Multi-Attach error" in api.kubectl("describe", "pod", "q").stdout)
        status(api, "node/n1", {"volumesInUse": []})
        until(
            "it is moved",
            lambda: [a["spec"]["nodeName"] for a in get(api, "volumeattachments")["items"]] == ["n2"],
        )


def test_dead_nodes_are_marked_at_the_rate_of_their_zone(api: Harness) -> None:
    impatient = [
        {
            "key": "node.kubernetes.io/unreachable",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": 0,
        }
    ]
    for name, zone in (("alive", "a"), ("dead1", "a"), ("dead2", "a"), ("other", "b")):
        node(api, name, zone)
        apply(api, pod(f"on-{name}", name, tolerations=impatient))
    flags = ("--node-monitor-grace-period=5s", "--node-eviction-rate=0.2")

    def marked() -> list[str]:
        for name in ("alive", "other"):
            apply(api, lease(name))
        return [
            meta.name_of(each)
            for each in get(api, "nodes")["items"]
            if any(taint["effect"] == "NoExecute" for taint in each["spec"].get("taints") or ())
        ]

    with controller_manager(api, "node-lifecycle,taint-eviction", *flags):
        first = until("one is marked", marked)
        assert len(first) == 1
        assert first[0].startswith("dead")
        began = time.monotonic()
        assert until("both are marked", lambda: len(marked()) == 2)
        assert time.monotonic() - began > 1, "not both at once"
        left = {meta.name_of(each) for each in get(api, "pods")["items"] if not meta.is_deleting(each)}
        until("their pods go", lambda: "on-dead1" not in _alive(api) and "on-dead2" not in _alive(api))
        assert {"on-alive", "on-other"} <= left


def _alive(api: Harness) -> set[str]:
    return {meta.name_of(each) for each in get(api, "pods")["items"] if not meta.is_deleting(each)}


def test_endpoints_follow_the_sizes_of_zones(api: Harness) -> None:
    node(api, "n1", "a", "12")
    node(api, "n2", "b", "4")
    metadata = {
        "name": "web",
        "namespace": "default",
        "annotations": {"service.kubernetes.io/topology-mode": "Auto"},
    }
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80}]}
    apply(api, {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    for number, on in enumerate(("n1", "n1", "n2", "n2")):
        apply(api, pod(f"w{number}", on, {"app": "web"}))
        ready = {"type": "Ready", "status": "True"}
        ip = f"10.0.0.{number + 1}"
        status(
            api,
            f"pod/w{number}",
            {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [ready]},
        )

    def zones() -> list[str]:
        slices = get(api, "endpointslices", "-l", "kubernetes.io/service-name=web")["items"]
        endpoints = [each for one in slices for each in one.get("endpoints") or ()]
        return sorted(each["hints"]["forZones"][0]["name"] for each in endpoints if each.get("hints"))

    with controller_manager(api, "endpointslice"):
        until("three of four are for the large zone", lambda: zones() == ["a", "a", "a", "b"])
        node(api, "n2", "b", "12")
        until("half and half", lambda: zones() == ["a", "a", "b", "b"])
        api.kubectl("annotate", "service", "web", "service.kubernetes.io/topology-mode-")
        until("none", lambda: zones() == [])
