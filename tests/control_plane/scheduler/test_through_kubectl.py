"""The scheduler as a process on a real apiserver, with nodes and devices that the test makes with kubectl."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.control_plane.apiserver.harness import Harness, stop
from tests.control_plane.controllers.test_through_kubectl import apply, get, node, until

DEVICES = """
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: gpu}
spec:
  extendedResourceName: example.com/gpu
  selectors:
  - cel: {expression: 'device.driver == "gpu.example.com"'}
---
apiVersion: resource.k8s.io/v1
kind: ResourceSlice
metadata: {name: gpus}
spec:
  driver: gpu.example.com
  nodeName: n2
  pool: {name: n2, generation: 1, resourceSliceCount: 1}
  devices:
  - name: small
    capacity: {memory: {value: 1Gi}}
  - name: big
    capacity: {memory: {value: 8Gi}}
  - name: shared
    allowMultipleAllocations: true
    capacity: {slots: {value: "4", requestPolicy: {default: "1", validRange: {min: "1", step: "1"}}}}
"""
CLAIM = """
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: NAME}
spec:
  devices:
    requests:
    - name: gpu
      firstAvailable:
      - name: huge
        deviceClassName: gpu
        selectors:
        - cel:
            expression: >-
              "memory" in device.capacity["gpu.example.com"] &&
              device.capacity["gpu.example.com"].memory.compareTo(quantity("1Ti")) > 0
      - name: slots
        deviceClassName: gpu
        selectors: [{cel: {expression: 'device.allowMultipleAllocations'}}]
        capacity: {requests: {slots: "2"}}
"""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    with Harness(tmp_path_factory.mktemp("scheduler")) as harness:
        harness.create("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
        node(harness, "n1")
        node(harness, "n2")
        for name in ("n1", "n2"):
            room = {"status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}}}
            harness.kubectl("patch", "node", name, "--subresource=status", "-p", json.dumps(room))
            harness.kubectl("taint", "node", name, "node.kubernetes.io/not-ready-")
        with scheduler(harness):
            yield harness


@contextmanager
def scheduler(api: Harness) -> Iterator[None]:
    config: Path = api.directory / "pki" / "admin.kubeconfig"
    command = [sys.executable, "-m", "cluster.cli", "scheduler", f"--kubeconfig={config}"]
    with (api.directory / "scheduler.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--leader-elect=false", "--secure-port=0"], stdout=log, stderr=log
        )
    try:
        yield
    finally:
        stop(process)


def pod(api: Harness, name: str, claim: str = "", limits: dict[str, str] | None = None) -> None:
    container = {"name": "c", "image": "i", "resources": {"limits": limits or {}}}
    spec: dict[str, object] = {"containers": [container]}
    if claim:
        spec["resourceClaims"] = [{"name": "gpu", "resourceClaimName": claim}]
    apply(
        api,
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec},
    )


def on(api: Harness, name: str) -> str:
    found: str = get(api, "pod", name)["spec"].get("nodeName", "")
    return found


def test_devices_are_given_out(api: Harness) -> None:
    api.kubectl("apply", "-f", "-", stdin=DEVICES)
    for number in range(3):
        api.kubectl("apply", "-f", "-", stdin=CLAIM.replace("NAME", f"c{number}"))
        pod(api, f"p{number}", f"c{number}")
    until("two have their slots", lambda: sum(on(api, f"p{n}") == "n2" for n in range(3)) == 2)
    (waiting,) = [f"p{n}" for n in range(3) if not on(api, f"p{n}")]
    until(
        "the third waits",
        lambda: "cannot allocate all claims" in api.kubectl("describe", "pod", waiting).stdout,
    )
    given = [
        result
        for each in get(api, "resourceclaims")["items"]
        for result in each.get("status", {}).get("allocation", {}).get("devices", {}).get("results", ())
    ]
    assert [(each["request"], each["device"]) for each in given] == [("gpu/slots", "shared")] * 2
    assert [each["consumedCapacity"] for each in given] == [{"slots": "2"}] * 2
    assert len({each["shareID"] for each in given}) == 2


def test_devices_stand_for_a_resource(api: Harness) -> None:
    api.kubectl("apply", "-f", "-", stdin=DEVICES)
    pod(api, "plain", limits={"example.com/gpu": "2"})
    until("it is on the node that has them", lambda: on(api, "plain") == "n2")
    named = get(api, "pod", "plain")["status"]["extendedResourceClaimStatus"]
    results = get(api, "resourceclaim", named["resourceClaimName"])["status"]["allocation"]["devices"][
        "results"
    ]
    assert sorted(each["device"] for each in results) == ["big", "small"]
    allowed = api.kubectl(
        "auth", "can-i", "create", "resourceclaims.resource.k8s.io", "--as=system:kube-scheduler"
    )
    assert allowed.stdout.strip() == "yes", "with its own account as well"
