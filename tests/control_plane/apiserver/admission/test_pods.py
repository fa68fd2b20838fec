"""The plugins that complete a pod: service account, priority, tolerations, runtime class, selectors,
images."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.api.errors import StatusError
from control_plane.apiserver.admission.plugins.always_pull_images import AlwaysPullImages
from control_plane.apiserver.admission.plugins.default_toleration_seconds import DefaultTolerationSeconds
from control_plane.apiserver.admission.plugins.extended_resource_toleration import ExtendedResourceToleration
from control_plane.apiserver.admission.plugins.pod_node_selector import PodNodeSelector, parse_selector
from control_plane.apiserver.admission.plugins.priority import Priority
from control_plane.apiserver.admission.plugins.runtime_class import RuntimeClass
from control_plane.apiserver.admission.plugins.service_account import ServiceAccount
from control_plane.apiserver.admission.priority_classes import (
    ensure_system_priority_classes,
    system_priority_classes,
)
from tests.control_plane.apiserver.admission.helpers import UPDATE, dependencies, request
from tests.control_plane.apiserver.authn.fakes import FakeReader, Object, obj
from tests.control_plane.apiserver.authz.test_bootstrap import FakeStorage

MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def pod(**spec: Any) -> Object:
    return obj("web", spec={"containers": [{"name": "c"}], **spec})


async def admit(plugin: Any, made: Object, **more: Any) -> Object:
    asked = request("pods", made, **more)
    await plugin.mutate(asked)
    await plugin.validate(asked)
    return made["spec"]


class TestServiceAccount:
    def plugin(self, account: Object | None = None) -> ServiceAccount:
        accounts = [account or obj("default", "ns"), obj("robot", "ns", imagePullSecrets=[{"name": "pull"}])]
        return ServiceAccount(dependencies(FakeReader(serviceaccounts=accounts)))

    async def test_the_default_account_and_its_token(self) -> None:
        spec = await admit(self.plugin(), pod(initContainers=[{"name": "i"}]))
        assert spec["serviceAccountName"] == spec["serviceAccount"] == "default"
        [volume] = spec["volumes"]
        assert volume["name"].startswith("kube-api-access-")
        assert len(volume["name"]) == len("kube-api-access-") + 5
        token, ca, namespace = volume["projected"]["sources"]
        assert token == {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}
        assert ca["configMap"]["name"] == "kube-root-ca.crt"
        assert namespace["downwardAPI"]["items"][0]["fieldRef"]["fieldPath"] == "metadata.namespace"
        assert volume["projected"]["defaultMode"] == 420
        for container in (*spec["containers"], *spec["initContainers"]):
            assert container["volumeMounts"] == [
                {"name": volume["name"], "readOnly": True, "mountPath": MOUNT}
            ]

    async def test_a_mount_of_the_users_own_is_left(self) -> None:
        mine = {"name": "mine", "mountPath": MOUNT}
        spec = await admit(self.plugin(), pod(containers=[{"name": "c", "volumeMounts": [mine]}]))
        assert spec["containers"][0]["volumeMounts"] == [mine]
        assert "volumes" not in spec

    @pytest.mark.parametrize(
        ("of_pod", "of_account", "mounted"),
        [
            (None, None, True),
            (False, None, False),
            (None, False, False),
            (True, False, True),
            (False, True, False),
        ],
    )
    async def test_automount(self, of_pod: bool | None, of_account: bool | None, mounted: bool) -> None:
        fields = {} if of_account is None else {"automountServiceAccountToken": of_account}
        spec = {} if of_pod is None else {"automountServiceAccountToken": of_pod}
        result = await admit(self.plugin(obj("default", "ns", **fields)), pod(**spec))
        assert ("volumes" in result) is mounted

    async def test_image_pull_secrets_are_the_accounts_unless_given(self) -> None:
        spec = await admit(self.plugin(), pod(serviceAccountName="robot"))
        assert spec["imagePullSecrets"] == [{"name": "pull"}]
        spec = await admit(self.plugin(), pod(serviceAccountName="robot", imagePullSecrets=[{"name": "x"}]))
        assert spec["imagePullSecrets"] == [{"name": "x"}]

    async def test_an_unknown_account(self) -> None:
        with pytest.raises(StatusError) as caught:
            await admit(self.plugin(), pod(serviceAccountName="none"))
        assert caught.value.message == (
            'pods "web" is forbidden: error looking up service account ns/none: serviceaccount "none" not found'
        )

    async def test_a_new_namespaces_default_account_is_awaited(self) -> None:
        reader = FakeReader()
        waits: list[float] = []

        async def sleep(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 3:
                reader.live[("", "serviceaccounts")] = [obj("default", "ns")]

        spec = await admit(ServiceAccount(dependencies(reader, sleep=sleep)), pod())
        assert spec["serviceAccountName"] == "default"
        assert len(waits) == 3

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ({"serviceAccountName": "x"}, "a mirror pod may not reference service accounts"),
            (
                {"volumes": [{"name": "v", "secret": {"secretName": "s"}}]},
                "a mirror pod may not reference secrets",
            ),
            (
                {"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {}}]}}]},
                "a mirror pod may not use ServiceAccountToken volume projections",
            ),
        ],
    )
    async def test_mirror_pods(self, spec: Any, message: str) -> None:
        mirror = pod(**spec)
        mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
        with pytest.raises(StatusError, match=message):
            await admit(self.plugin(), mirror)

    async def test_an_account_limited_to_its_secrets(self) -> None:
        limits = {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}
        plugin = self.plugin(obj("default", "ns", metadata=limits, secrets=[{"name": "mine"}]))
        await admit(plugin, pod(volumes=[{"name": "v", "secret": {"secretName": "mine"}}]))
        with pytest.raises(StatusError, match="does not reference that secret"):
            await admit(plugin, pod(volumes=[{"name": "v", "secret": {"secretName": "other"}}]))


class TestPriority:
    def plugin(self, *classes: Object) -> Priority:
        reader = FakeReader()
        high = obj("high", value=1000, preemptionPolicy="Never")
        reader.add("priorityclasses", high, *system_priority_classes(), *classes, group="scheduling.k8s.io")
        return Priority(dependencies(reader))

    @pytest.mark.parametrize(
        ("name", "value", "policy"),
        [
            (None, 0, "PreemptLowerPriority"),
            ("high", 1000, "Never"),
            ("system-node-critical", 2000001000, "PreemptLowerPriority"),
            ("system-cluster-critical", 2000000000, "PreemptLowerPriority"),
        ],
    )
    async def test_from_the_class(self, name: str | None, value: int, policy: str) -> None:
        spec = await admit(self.plugin(), pod(**({"priorityClassName": name} if name else {})))
        assert (spec["priority"], spec["preemptionPolicy"]) == (value, policy)

    async def test_the_default_class(self) -> None:
        classes = [obj("d1", value=7, globalDefault=True), obj("d2", value=5, globalDefault=True)]
        spec = await admit(self.plugin(*classes), pod())
        assert (spec["priorityClassName"], spec["priority"]) == ("d2", 5)

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ({"priorityClassName": "none"}, "no PriorityClass with name none was found"),
            (
                {"priorityClassName": "high", "priority": 5},
                r"the integer value of priority \(5\) must not be provided in pod spec; priority admission "
                "controller computed 1000 from the given PriorityClass name",
            ),
            ({"preemptionPolicy": "Never"}, "the string value of PreemptionPolicy"),
        ],
    )
    async def test_refused(self, spec: Any, message: str) -> None:
        with pytest.raises(StatusError, match=message):
            await admit(self.plugin(), pod(**spec))

    async def test_an_update_keeps_the_priority(self) -> None:
        old = pod(priority=5, preemptionPolicy="Never")
        spec = await admit(self.plugin(), pod(), operation=UPDATE, old=old)
        assert (spec["priority"], spec["preemptionPolicy"]) == (5, "Never")

    async def test_one_default_class(self) -> None:
        plugin = self.plugin(obj("d", value=1, globalDefault=True))
        asked = request("priorityclasses.scheduling.k8s.io", obj("e", globalDefault=True), namespace="")
        with pytest.raises(StatusError, match="PriorityClass d is already marked as default"):
            await plugin.validate(asked)
        again = request(
            "priorityclasses.scheduling.k8s.io", obj("d", globalDefault=True), UPDATE, namespace=""
        )
        await plugin.validate(again)

    async def test_system_classes_are_made_once(self) -> None:
        class Storage(FakeStorage):
            def _write(self, resource: str, obj: Object) -> Object:
                self.writes += 1
                self.objects[(resource, "", obj["metadata"]["name"])] = obj
                return obj

        storage = Storage()
        for _ in range(2):
            await ensure_system_priority_classes(storage)
        assert storage.writes == 2


NOT_READY = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}
UNREACHABLE = {**NOT_READY, "key": "node.kubernetes.io/unreachable"}


@pytest.mark.parametrize(
    ("given", "added"),
    [
        ([], [NOT_READY, UNREACHABLE]),
        ([{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}], [UNREACHABLE]),
        ([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}], [NOT_READY, UNREACHABLE]),
        ([{"operator": "Exists"}], []),
        ([{**NOT_READY, "tolerationSeconds": 5}, UNREACHABLE], []),
        ([{"key": "other", "operator": "Exists"}], [NOT_READY, UNREACHABLE]),
    ],
)
async def test_default_tolerations(given: list, added: list) -> None:
    spec = await admit(DefaultTolerationSeconds(dependencies()), pod(tolerations=given))
    assert spec["tolerations"] == [*given, *({**t, "tolerationSeconds": 300} for t in added)]


class TestRuntimeClass:
    def plugin(self) -> RuntimeClass:
        reader = FakeReader()
        tolerations = [{"key": "vm", "operator": "Exists"}]
        scheduling = {"nodeSelector": {"vm": "yes"}, "tolerations": tolerations}
        made = obj("vm", overhead={"podFixed": {"cpu": "250m"}}, scheduling=scheduling)
        reader.add("runtimeclasses", made, obj("plain"), group="node.k8s.io")
        return RuntimeClass(dependencies(reader))

    async def test_completes_the_pod(self) -> None:
        spec = await admit(self.plugin(), pod(runtimeClassName="vm", nodeSelector={"a": "b"}))
        assert spec["overhead"] == {"cpu": "250m"}
        assert spec["nodeSelector"] == {"a": "b", "vm": "yes"}
        assert spec["tolerations"] == [{"key": "vm", "operator": "Exists"}]

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ({"runtimeClassName": "none"}, 'pod rejected: RuntimeClass "none" not found'),
            (
                {"runtimeClassName": "vm", "overhead": {"cpu": "1"}},
                "doesn't match RuntimeClass's defined Overhead",
            ),
            ({"overhead": {"cpu": "1"}}, "without corresponding RuntimeClass defined Overhead"),
            ({"runtimeClassName": "plain", "overhead": {"cpu": "1"}}, "without corresponding RuntimeClass"),
            ({"runtimeClassName": "vm", "nodeSelector": {"vm": "no"}}, "conflict: runtimeClass.scheduling"),
        ],
    )
    async def test_refused(self, spec: Any, message: str) -> None:
        with pytest.raises(StatusError, match=message):
            await admit(self.plugin(), pod(**spec))

    async def test_equal_overhead_is_fine(self) -> None:
        await admit(self.plugin(), pod(runtimeClassName="vm", overhead={"cpu": "0.25"}))


async def test_always_pull_images() -> None:
    plugin = AlwaysPullImages(dependencies())
    made = pod(containers=[{"name": "c", "imagePullPolicy": "Never"}])
    with pytest.raises(
        StatusError, match=r'spec.containers\[0\].imagePullPolicy: Unsupported value: "Never"'
    ):
        await plugin.validate(request("pods", made))
    spec = await admit(plugin, made)
    assert spec["containers"][0]["imagePullPolicy"] == "Always"


async def test_extended_resources_are_tolerated() -> None:
    limits = {"requests": {"cpu": "1", "nvidia.com/gpu": "1", "hugepages-2Mi": "1", "x.kubernetes.io/y": "1"}}
    plugin = ExtendedResourceToleration(dependencies())
    made = pod(containers=[{"name": "c", "resources": limits}])
    for _ in range(2):
        spec = await admit(plugin, made)
        assert spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists"}]


class TestPodNodeSelector:
    def plugin(self, annotation: str) -> PodNodeSelector:
        key = "scheduler.alpha.kubernetes.io/node-selector"
        namespace = obj("ns", metadata={"annotations": {key: annotation}})
        return PodNodeSelector(dependencies(FakeReader(namespaces=[namespace])))

    async def test_merges(self) -> None:
        spec = await admit(self.plugin("env=prod, zone=a"), pod(nodeSelector={"x": "y"}))
        assert spec["nodeSelector"] == {"x": "y", "env": "prod", "zone": "a"}

    async def test_conflict(self) -> None:
        with pytest.raises(StatusError, match="conflicts with its namespace node label selector"):
            await admit(self.plugin("env=prod"), pod(nodeSelector={"env": "test"}))

    def test_parse(self) -> None:
        assert parse_selector("") == {}
        assert parse_selector("a") is None
