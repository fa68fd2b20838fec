"""What containers may use, on a running cluster: killed for memory, resized in place, evicted for their storage."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.conftest import Cluster, skip_without_control_groups, until
from tests.kubectl import Kubectl

pytestmark = pytest.mark.cluster

HOLDS_40_MIB = "import time; x = bytearray(40 << 20); print('holds', flush=True); time.sleep(1000)"
TAKES_400_MIB = "x = bytearray(400 << 20); print('took it')"


def pod(name: str, command: list[str], resources: dict[str, Any], **more: Any) -> str:
    container = {"name": "c", "image": "python:3", "command": command, "resources": resources, **more}
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [container], "restartPolicy": "Never" if not more else "Always"},
    }
    if "volumeMounts" in more:
        manifest["spec"]["volumes"] = [{"name": "cache", "emptyDir": {"sizeLimit": "1Mi"}}]  # type: ignore[index]
    return json.dumps(manifest)


def test_one_that_takes_too_much_memory_is_killed(cluster: Cluster, newest: Kubectl) -> None:
    skip_without_control_groups(cluster)
    command = ["python3", "-c", TAKES_400_MIB]
    newest("apply", "-f", "-", input=pod("greedy", command, {"limits": {"memory": "32Mi"}}))
    until("it is killed", lambda: "OOMKilled" in newest("get", "pod", "greedy"))
    ended = newest.json("get", "pod", "greedy")["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")


def test_a_pod_grows_in_place(cluster: Cluster, newest: Kubectl) -> None:
    skip_without_control_groups(cluster)
    amounts = {"cpu": "100m", "memory": "64Mi"}
    policy = [{"resourceName": "memory", "restartPolicy": "NotRequired"}]
    command = ["python3", "-c", HOLDS_40_MIB]
    made = pod("sized", command, {"requests": amounts, "limits": amounts}, resizePolicy=policy)
    newest("apply", "-f", "-", input=made)
    until("it holds its memory", lambda: newest.run("logs", "sized").stdout == "holds\n")

    def resize(cpu: str, memory: str) -> None:
        wanted = {"cpu": cpu, "memory": memory}
        resources = {"requests": wanted, "limits": wanted}
        patch = {"spec": {"containers": [{"name": "c", "resources": resources}]}}
        newest("patch", "pod", "sized", "--subresource=resize", "-p", json.dumps(patch))

    def status() -> dict[str, Any]:
        found: dict[str, Any] = newest.json("get", "pod", "sized")["status"]
        return found

    def condition(kind: str) -> dict[str, Any]:
        return next((each for each in status()["conditions"] if each["type"] == kind), {})

    resize("200m", "96Mi")
    until("it has more", lambda: status()["containerStatuses"][0]["resources"]["limits"]["memory"] == "96Mi")
    assert status()["containerStatuses"][0]["restartCount"] == 0
    resize("200m", "16Mi")
    until("less than it uses is refused", lambda: condition("PodResizeInProgress").get("reason") == "Error")
    resize("3000", "96Mi")
    until("more than the node has", lambda: condition("PodResizePending").get("reason") == "Infeasible")
    events = newest("events", "--for", "pod/sized")
    assert all(
        reason in events for reason in ("ResizeStarted", "ResizeCompleted", "ResizeError", "ResizeInfeasible")
    )
    resize("200m", "96Mi")
    until("all is well", lambda: not condition("PodResizePending") and not condition("PodResizeInProgress"))


def test_a_volume_beyond_its_limit_ends_the_pod(newest: Kubectl) -> None:
    command = ["sh", "-c", "head -c 3000000 /dev/zero > /cache/a; sleep 1000"]
    mounts = [{"name": "cache", "mountPath": "/cache"}]
    newest("apply", "-f", "-", input=pod("filler", command, {}, volumeMounts=mounts))
    until("it is evicted", lambda: newest.json("get", "pod", "filler")["status"].get("reason") == "Evicted")
    shown = newest("describe", "pod", "filler")
    assert 'Usage of EmptyDir volume "cache" exceeds the limit "1Mi".' in shown


def test_a_pod_is_resized_as_a_whole(cluster: Cluster, newest: Kubectl) -> None:
    """Its containers have no limits: they share the pod's."""
    skip_without_control_groups(cluster)
    container = {"image": "python:3", "command": ["python3", "-c", HOLDS_40_MIB]}
    whole = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "128Mi"}}
    spec = {"containers": [{"name": name, **container} for name in ("a", "b")], "resources": whole}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "whole"}, "spec": spec}
    newest("apply", "-f", "-", input=json.dumps(manifest))

    def status() -> dict[str, Any]:
        found: dict[str, Any] = newest.json("get", "pod", "whole")["status"]
        return found

    until("both hold their memory", lambda: newest.run("logs", "whole", "-c", "b").stdout == "holds\n")
    assert (status()["qosClass"], status()["resources"]) == ("Burstable", whole)

    def resize(memory: str) -> None:
        amounts = {"requests": {"memory": memory}, "limits": {"memory": memory}}
        newest(
            "patch",
            "pod",
            "whole",
            "--subresource=resize",
            "-p",
            json.dumps({"spec": {"resources": amounts}}),
        )

    resize("192Mi")
    until("it has more", lambda: status()["resources"]["limits"]["memory"] == "192Mi")
    assert status()["allocatedResources"] == {"cpu": "100m", "memory": "192Mi"}
    assert [each["restartCount"] for each in status()["containerStatuses"]] == [0, 0]
    resize("3000Gi")
    pending = ("PodResizePending", "Infeasible")
    until(
        "more than the node has",
        lambda: pending in {(each["type"], each.get("reason")) for each in status()["conditions"]},
    )
    less = {"requests": {"memory": "64Mi"}}
    refused = newest.run("patch", "pod", "whole", "--subresource=resize", "-p", json.dumps(
        {"spec": {"containers": [{"name": "a", "resources": less}], "resources": {"requests": {"memory": "32Mi"}}}}
    ))  # fmt: skip
    assert "must be greater than or equal to aggregate container requests of 64Mi" in refused.stderr
