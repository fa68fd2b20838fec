"""Devices by claims, on a whole cluster through kubectl. No node has a driver: pods are placed, and say what they
lack."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import until
from tests.kubectl import Kubectl

pytestmark = pytest.mark.cluster

DEVICES = """
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: NAME}
spec:
  selectors:
  - cel: {expression: 'device.driver == "NAME.example.com"'}
---
apiVersion: resource.k8s.io/v1
kind: ResourceSlice
metadata: {name: NAME}
spec:
  driver: NAME.example.com
  nodeName: NODE
  pool: {name: NODE, generation: 1, resourceSliceCount: 1}
  devices:
  - name: small
    attributes: {model: {string: tiny}}
    capacity: {memory: {value: 1Gi}}
  - name: big
    attributes: {model: {string: huge}}
    capacity: {memory: {value: 8Gi}}
"""
TEMPLATE = """
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {name: huge}
spec:
  spec:
    devices:
      requests:
      - name: gpu
        exactly:
          deviceClassName: NAME
          selectors:
          - cel: {expression: 'device.capacity["NAME.example.com"].memory.compareTo(quantity("2Gi")) >= 0'}
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: busybox
    command: [sleep, "1000"]
    resources: {claims: [{name: gpu}]}
  resourceClaims: [{name: gpu, resourceClaimTemplateName: huge}]
"""


@pytest.fixture
def devices(newest: Kubectl) -> Iterator[str]:
    """The node that has them."""
    node = sorted(each["metadata"]["name"] for each in newest.json("get", "nodes")["items"])[-1]
    name = newest.namespace
    newest("apply", "-f", "-", input=DEVICES.replace("NAME", name).replace("NODE", node))
    newest("apply", "-f", "-", input=TEMPLATE.replace("NAME", name))
    yield node
    newest.run("delete", f"resourceslice/{name}", f"deviceclass/{name}")


def node_of(kubectl: Kubectl, pod: str) -> str:
    found: str = kubectl.json("get", "pod", pod)["spec"].get("nodeName", "")
    return found


def claims(kubectl: Kubectl) -> list[dict[str, object]]:
    found: list[dict[str, object]] = kubectl.json("get", "resourceclaims")["items"]
    return found


def test_pods_take_turns_at_a_device(newest: Kubectl, devices: str) -> None:
    newest("apply", "-f", "-", input=POD.replace("NAME", "first"))
    until("the first pod has the node", lambda: node_of(newest, "first") == devices)
    (claim,) = newest.json("get", "resourceclaims")["items"]
    (result,) = claim["status"]["allocation"]["devices"]["results"]
    assert (result["request"], result["device"]) == ("gpu", "big")
    assert [each["name"] for each in claim["status"]["reservedFor"]] == ["first"]
    assert "allocated,reserved" in newest("get", "resourceclaims")
    until(
        "the node says that it has no driver",
        lambda: "no DRA driver is registered on this node" in newest("describe", "pod", "first"),
    )

    newest("apply", "-f", "-", input=POD.replace("NAME", "second"))
    until("the second waits", lambda: "cannot allocate all claims" in newest("describe", "pod", "second"))
    newest("delete", "pod", "first")
    until("its device goes to the second", lambda: node_of(newest, "second") == devices)
    until("its claim is gone", lambda: len(claims(newest)) == 1)
    newest("delete", "pod", "second")
    until("nothing is left", lambda: not claims(newest))


def test_a_claim_outlives_its_pods(newest: Kubectl, devices: str) -> None:
    spec = json.loads(newest("get", "resourceclaimtemplate", "huge", "-o", "json"))["spec"]["spec"]
    claim = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": "mine"},
        "spec": spec,
    }
    newest("apply", "-f", "-", input=json.dumps(claim))
    pod = POD.replace("resourceClaimTemplateName: huge", "resourceClaimName: mine")
    for name in ("one", "two"):
        newest("apply", "-f", "-", input=pod.replace("NAME", name))
    for name in ("one", "two"):
        until("they share it", lambda name=name: node_of(newest, name) == devices)  # type: ignore[misc]
    until(
        "both are its users",
        lambda: len(newest.json("get", "resourceclaim", "mine")["status"]["reservedFor"]) == 2,
    )
    newest("delete", "resourceclaim", "mine", "--wait=false")
    newest("delete", "pod", "one")
    assert newest.json("get", "resourceclaim", "mine")["status"]["reservedFor"], "it is still used"
    newest("delete", "pod", "two")
    until("nobody uses it", lambda: not claims(newest))


def test_who_asks_for_what_is_not_there_is_told(newest: Kubectl) -> None:
    newest("apply", "-f", "-", input=POD.replace("NAME", "p"))
    until(
        "an event names the template",
        lambda: 'resourceclaimtemplates.resource.k8s.io "huge" not found' in newest("describe", "pod", "p"),
    )
    newest("apply", "-f", "-", input=TEMPLATE.replace("NAME", "nope"))
    until(
        "an event names the class",
        lambda: "device class nope does not exist" in newest("describe", "pod", "p"),
    )


EXTENDED = """
apiVersion: v1
kind: Pod
metadata: {name: plain}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: busybox
    command: [sleep, "1000"]
    resources: {limits: {deviceclass.resource.kubernetes.io/NAME: 2}}
"""


def test_a_pod_that_knows_nothing_of_claims_gets_devices(newest: Kubectl, devices: str) -> None:
    newest("apply", "-f", "-", input=EXTENDED.replace("NAME", newest.namespace))
    until("it has the node", lambda: node_of(newest, "plain") == devices)
    (claim,) = newest.json("get", "resourceclaims")["items"]
    given = claim["status"]["allocation"]["devices"]["results"]
    assert sorted(each["device"] for each in given) == ["big", "small"]
    until("the node knows", lambda: "no DRA driver is registered" in newest("describe", "pod", "plain"))
    newest("delete", "pod", "plain")
    until("its claim goes with it", lambda: not claims(newest))
