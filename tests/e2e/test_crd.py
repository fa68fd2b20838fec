"""Custom resources on a whole cluster, by the oldest and the newest kubectl and by the official Python client."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from kubernetes import client as kubernetes
from kubernetes import config

from tests.control_plane.apiserver.crd.samples import cron_tab, definition
from tests.e2e.conftest import Cluster, until
from tests.kubectl import Kubectl

pytestmark = pytest.mark.cluster

_numbers = itertools.count(1)
Object = dict[str, Any]


@pytest.fixture
def crd(request: pytest.FixtureRequest) -> Object:
    return definition(group=f"e{next(_numbers)}.example.com")


def text(obj: Object) -> str:
    return json.dumps(obj)


def test_the_life_of_a_custom_resource(kubectl: Kubectl, crd: Object) -> None:
    group, name = crd["spec"]["group"], crd["metadata"]["name"]
    assert "created" in kubectl("apply", "-f", "-", input=text(crd))
    kubectl("wait", "--for=condition=established", f"crd/{name}", "--timeout=10s")
    assert f"{group}/v1" in kubectl("api-resources", f"--api-group={group}")
    assert "created" in kubectl("apply", "-f", "-", input=text(cron_tab(crd, replicas=3)))
    short, plural = f"ct.{group}", f"crontabs.{group}"
    header, row = kubectl("get", plural).splitlines()
    assert header.split() == ["NAME", "SPEC", "AGE"]
    assert row.split()[:3] == ["a", "*", "*"]
    assert kubectl("get", short, "a", "-o", "jsonpath={.spec.image}") == "busybox"
    assert "REPLICAS" in kubectl("get", plural, "-o", "wide").splitlines()[0]
    assert f"crontab.{group}/a" in kubectl("get", "all")
    assert (
        kubectl("get", plural, "--field-selector=spec.image=busybox", "-o", "name").strip()
        == f"crontab.{group}/a"
    )
    assert "scaled" in kubectl("scale", f"{plural}/a", "--replicas=5")
    assert "patched" in kubectl("patch", plural, "a", "--type=merge", "-p", '{"spec":{"mode":"fast"}}')
    assert kubectl("get", plural, "a", "-o", "jsonpath={.spec.replicas} {.spec.mode}") == "5 fast"
    assert "labeled" in kubectl("label", plural, "a", "x=y")
    assert "Cron Spec" in kubectl("describe", plural, "a")
    kubectl("patch", plural, "a", "--type=merge", "--subresource=status", "-p", '{"status":{"replicas":2}}')
    assert kubectl("get", plural, "a", "-o", "jsonpath={.status.replicas}") == "2"
    assert "deleted" in kubectl("delete", plural, "a")
    assert "deleted" in kubectl("delete", "crd", name)
    assert "the server doesn't have a resource type" in kubectl.run("get", plural).stderr


def test_what_is_refused(kubectl: Kubectl, crd: Object) -> None:
    kubectl("apply", "-f", "-", input=text(crd))
    kubectl("wait", "--for=condition=established", f"crd/{crd['metadata']['name']}", "--timeout=10s")
    unknown = kubectl.run("apply", "-f", "-", input=text(cron_tab(crd, bogus=1))).stderr
    assert 'strict decoding error: unknown field "spec.bogus"' in unknown
    invalid = kubectl.run("apply", "-f", "-", input=text(cron_tab(crd, replicas=11))).stderr
    assert 'The CronTab "a" is invalid: spec.replicas: Invalid value: 11' in invalid
    kubectl("apply", "-f", "-", input=text(cron_tab(crd)))
    strategic = kubectl.run(
        "patch", f"crontabs.{crd['spec']['group']}", "a", "--type=strategic", "-p", "{}"
    ).stderr
    assert "application/strategic-merge-patch+json is not supported by" in strategic
    kubectl("delete", "crd", crd["metadata"]["name"])


def test_explain(kubectl: Kubectl, crd: Object) -> None:
    kubectl("apply", "-f", "-", input=text(crd))
    kubectl("wait", "--for=condition=established", f"crd/{crd['metadata']['name']}", "--timeout=10s")
    told = until("explained", lambda: kubectl.run("explain", f"crontabs.{crd['spec']['group']}.spec").stdout)
    assert "What is run." in told
    assert "cronSpec\t<string>" in told
    kubectl("delete", "crd", crd["metadata"]["name"])


def test_server_side_apply(kubectl: Kubectl, crd: Object) -> None:
    kubectl("apply", "--server-side", "-f", "-", input=text(crd))
    kubectl("wait", "--for=condition=established", f"crd/{crd['metadata']['name']}", "--timeout=10s")
    apply = ("apply", "--server-side", "-f", "-")
    assert "serverside-applied" in kubectl(*apply, input=text(cron_tab(crd, replicas=3)))
    clash = kubectl.run(*apply, "--field-manager=other", input=text(cron_tab(crd, replicas=4)))
    assert 'conflict with "kubectl": .spec.replicas' in clash.stderr
    kubectl(*apply, "--field-manager=other", "--force-conflicts", input=text(cron_tab(crd, replicas=4)))
    kubectl("delete", "crd", crd["metadata"]["name"])


def test_namespaces_and_owners_take_instances_along(newest: Kubectl, crd: Object) -> None:
    newest("apply", "-f", "-", input=text(crd))
    newest("wait", "--for=condition=established", f"crd/{crd['metadata']['name']}", "--timeout=10s")
    plural = f"crontabs.{crd['spec']['group']}"
    newest("create", "configmap", "owner")
    uid = newest.json("get", "configmap", "owner")["metadata"]["uid"]
    owned = cron_tab(crd, "owned")
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    owned["metadata"]["ownerReferences"] = [owner]
    newest("apply", "-f", "-", input=text(owned))
    newest("apply", "-f", "-", input=text(cron_tab(crd, "free")))
    newest("delete", "configmap", "owner")
    until("the owned instance goes", lambda: newest.run("get", plural, "owned").returncode != 0, 60)
    assert newest.run("get", plural, "free").returncode == 0
    newest("create", "namespace", f"{newest.namespace}-x")
    newest("apply", f"--namespace={newest.namespace}-x", "-f", "-", input=text(cron_tab(crd)))
    newest("delete", "namespace", f"{newest.namespace}-x", "--timeout=60s", timeout_s=90)
    assert newest(f"--namespace={newest.namespace}", "get", plural, "-A", "-o", "name").split() == [
        f"crontab.{crd['spec']['group']}/free"
    ]
    newest("delete", "crd", crd["metadata"]["name"])


def test_the_python_client(cluster: Cluster, newest: Kubectl, crd: Object) -> None:
    api_client = config.new_client_from_config(str(cluster.kubeconfig))
    try:
        extensions = kubernetes.ApiextensionsV1Api(api_client)
        custom = kubernetes.CustomObjectsApi(api_client)
        group, namespace = crd["spec"]["group"], newest.namespace
        extensions.create_custom_resource_definition(crd)
        name = crd["metadata"]["name"]

        def established() -> bool:
            found = extensions.read_custom_resource_definition(name).status.conditions or []
            return any(each.type == "Established" and each.status == "True" for each in found)

        until("established", established)
        where = (group, "v1", namespace, "crontabs")
        made = custom.create_namespaced_custom_object(*where, cron_tab(crd, replicas=2))
        assert made["spec"]["image"] == "busybox"
        assert len(custom.list_namespaced_custom_object(*where)["items"]) == 1
        patched = custom.patch_namespaced_custom_object(*where, "a", {"spec": {"replicas": 3}})
        assert patched["spec"]["replicas"] == 3
        custom.patch_namespaced_custom_object_status(*where, "a", {"status": {"replicas": 1}})
        assert custom.get_namespaced_custom_object_scale(*where, "a")["status"]["replicas"] == 1
        custom.delete_namespaced_custom_object(*where, "a")
        extensions.delete_custom_resource_definition(name)
    finally:
        api_client.close()
