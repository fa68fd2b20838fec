"""test/e2e/apps/job.go"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.conformance.client import Client, Resource
from tests.conformance.workload import SLEEP, condition, is_ready, pods_of, settled, template
from tests.e2e.conftest import until

Object = dict[str, Any]


def jobs(client: Client, namespace: str) -> Resource:
    return client.of("batch/v1", "jobs", "Job", namespace)


def job(name: str, command: list[str] | None = None, policy: str = "Never", **spec: Any) -> Object:
    labels = spec.pop("labels", {"job": name})
    pod = template(labels, command or ["true"], restartPolicy=policy)
    made = {"parallelism": 2, "completions": 4, "backoffLimit": 6, "template": pod, **spec}
    return {"metadata": {"name": name, "labels": labels}, "spec": made}


def complete(of: Resource, name: str) -> Object:
    """The job once it is; why, `SuccessCriteriaMet` has said before."""
    found = settled(of, name, lambda obj: condition(obj, "Complete").get("status") == "True")
    reason = "SuccessPolicy" if "successPolicy" in found["spec"] else "CompletionsReached"
    assert {condition(found, kind)["reason"] for kind in ("SuccessCriteriaMet", "Complete")} == {reason}
    if reason == "CompletionsReached":
        assert found["status"]["succeeded"] == found["spec"]["completions"]
    return found


def active(client: Client, namespace: str, name: str, count: int) -> list[Object]:
    def check() -> list[Object] | None:
        found = [
            pod
            for pod in pods_of(client, namespace, f"job={name}")
            if pod["status"]["phase"] in ("Pending", "Running")
        ]
        return found if len(found) == count else None

    return until(f"{count} active pods of {name}", check) or []


def test_indexed(client: Client, namespace: str) -> None:
    """[sig-apps] Job should create pods for an Indexed job with completion indexes and specified hostname"""
    of = jobs(client, namespace)
    of.create(job("indexed", ["sh", "-c", "exit 0"], completionMode="Indexed"))
    complete(of, "indexed")
    found = client.of("v1", "pods", "Pod", namespace).list(labelSelector="job=indexed")
    done = [pod for pod in found if pod["status"]["phase"] == "Succeeded"]
    key = "batch.kubernetes.io/job-completion-index"
    indexes = {int(pod["metadata"]["annotations"][key]) for pod in done}
    assert indexes == {0, 1, 2, 3}
    for pod in done:
        assert pod["spec"]["hostname"] == f"indexed-{pod['metadata']['annotations'][key]}"
        env = {each["name"] for each in pod["spec"]["containers"][0]["env"]}
        assert "JOB_COMPLETION_INDEX" in env


def test_restarted_locally(client: Client, namespace: str) -> None:
    """[sig-apps] Job should run a job to completion when tasks sometimes fail and are locally restarted"""
    of = jobs(client, namespace)
    script = "if test -e /data/foo; then exit 0; fi; touch /data/foo; exit 1"
    made = job("fail-once-local", ["sh", "-c", script], "OnFailure")
    pod = made["spec"]["template"]["spec"]
    pod["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    pod["volumes"] = [{"name": "data", "emptyDir": {}}]
    of.create(made)
    complete(of, "fail-once-local")


def test_failure_policy(client: Client, namespace: str) -> None:
    """[sig-apps] Job should allow to use the pod failure policy on exit code to fail the job early"""
    of = jobs(client, namespace)
    rule = {
        "action": "FailJob",
        "onExitCodes": {"operator": "In", "values": [1], "containerName": "main"},
    }
    made = job("pod-failure-failjob", ["sh", "-c", "exit 1"], podFailurePolicy={"rules": [rule]})
    of.create({**made, "spec": {**made["spec"], "parallelism": 1, "completions": 1}})
    found = settled(of, "pod-failure-failjob", lambda obj: condition(obj, "Failed").get("status") == "True")
    assert condition(found, "Failed")["reason"] == "PodFailurePolicy"


def test_disruption_is_ignored(client: Client, namespace: str, tmp_path: Path) -> None:
    """[sig-apps] Job should allow to use a pod failure policy to ignore failure matching on DisruptionTarget
    condition
    """
    of = jobs(client, namespace)
    rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    mark = "/host/$JOB_COMPLETION_INDEX"
    script = f"if test -e {mark}; then exit 0; fi; touch {mark}; trap 'exit 1' TERM; sleep 1000 & wait"
    made = job("pod-failure-ignore", ["sh", "-c", script], podFailurePolicy={"rules": [rule]}, backoffLimit=0)
    made["spec"] |= {"completionMode": "Indexed", "parallelism": 2, "completions": 2}
    pod = made["spec"]["template"]["spec"]
    pod["nodeName"] = client.of("v1", "nodes", "Node").list()[0]["metadata"]["name"]
    pod["containers"][0]["volumeMounts"] = [{"name": "host", "mountPath": "/host"}]
    pod["volumes"] = [{"name": "host", "hostPath": {"path": str(tmp_path)}}]
    of.create(made)
    pods = client.of("v1", "pods", "Pod", namespace)
    until("the marks", lambda: {each.name for each in tmp_path.iterdir()} == {"0", "1"})
    found = until(
        "two running pods",
        lambda: found if len(found := [p for p in pods.list() if is_ready(p)]) == 2 else None,
    )
    for each in found or []:
        name = each["metadata"]["name"]
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
        }
        pods.post(name, "eviction", body)
    complete(of, "pod-failure-ignore")


def test_adoption(client: Client, namespace: str) -> None:
    """[sig-apps] Job should adopt matching orphans and release non-matching pods"""
    of = jobs(client, namespace)
    pods = client.of("v1", "pods", "Pod", namespace)
    uid = of.create(job("adopt-release", SLEEP))["metadata"]["uid"]
    pod = active(client, namespace, "adopt-release", 2)[0]
    name = pod["metadata"]["name"]

    def owners() -> list[str]:
        return [each["uid"] for each in pods.get(name)["metadata"].get("ownerReferences") or ()]

    def orphan(obj: Object) -> None:
        obj["metadata"]["ownerReferences"] = None

    pods.change(name, orphan)
    until("the adoption", lambda: owners() == [uid])
    pods.change(name, lambda obj: obj["metadata"].update(labels=None))
    until("the release", lambda: owners() == [])
    pods.delete(name)


def test_delete(client: Client, namespace: str) -> None:
    """[sig-apps] Job should delete a job"""
    of = jobs(client, namespace)
    of.create(job("foo", SLEEP))
    active(client, namespace, "foo", 2)
    of.delete("foo", propagationPolicy="Foreground")
    until("it is gone", lambda: not of.exists("foo"))
    assert pods_of(client, namespace, "job=foo") == []


def test_status(client: Client, dynamic: Client, namespace: str) -> None:
    """[sig-apps] Job should apply changes to a job status"""
    of = jobs(client, namespace)
    of.create(job("suspend-false-to-true", SLEEP))
    active(client, namespace, "suspend-false-to-true", 2)
    patched = settled(of, "suspend-false-to-true", lambda obj: obj["status"].get("active") == 2)
    custom = {
        "type": "CustomConditionType",
        "status": "True",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    patch = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {"conditions": [custom]}}
    patched = of.patch("suspend-false-to-true", patch, "merge", "status")
    assert condition(patched, "CustomConditionType")["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    assert patched["metadata"]["annotations"]["patchedstatus"] == "true"
    again = [{**custom, "lastTransitionTime": "2026-01-01T00:00:01Z"}]
    updated = of.change("suspend-false-to-true", lambda obj: obj["status"].update(conditions=again), "status")
    assert condition(updated, "CustomConditionType")["lastTransitionTime"] == "2026-01-01T00:00:01Z"
    shown = dynamic.of("batch/v1", "jobs", "Job", namespace).get("suspend-false-to-true", "status")
    assert shown["metadata"]["uid"] == updated["metadata"]["uid"]


def test_lifecycle(client: Client, namespace: str) -> None:
    """[sig-apps] Job should manage the lifecycle of a job"""
    of = jobs(client, namespace)
    label = {"e2e-job-label": namespace}
    selector = {"labelSelector": f"e2e-job-label={namespace}"}
    with of.watch(resourceVersion="0", **selector) as events:
        made = job("e2e-job", SLEEP, labels=label, suspend=True, parallelism=1, completions=2)
        of.create(made)
        patched = of.patch("e2e-job", {"metadata": {"labels": {"e2e-job": "patched"}}}, "strategic")
        assert patched["metadata"]["labels"]["e2e-job"] == "patched"
        events.until("MODIFIED", lambda obj: obj["metadata"]["labels"].get("e2e-job") == "patched")

        def edit(obj: Object) -> None:
            obj["spec"]["suspend"] = False
            obj["metadata"].setdefault("annotations", {})["updated"] = "true"

        updated = of.change("e2e-job", edit)
        assert updated["metadata"]["annotations"]["updated"] == "true"
        events.until("MODIFIED", lambda obj: obj["metadata"].get("annotations", {}).get("updated") == "true")
        assert len(of.everywhere().list(**selector)) == 1
        body = {"apiVersion": "batch/v1", "kind": "DeleteOptions", "propagationPolicy": "Foreground"}
        client.call("DELETE", of.path, body, query=selector)
        events.until("DELETED")
    assert of.list(**selector) == []
