"""The Pod Security Standards check by check, and the labels that put them in force."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.api.errors import StatusError
from control_plane.apiserver.admission.plugins.pod_security import PodSecurity, Policy, policies_of
from control_plane.apiserver.admission.pod_security_standards.levels import applicable, describe, evaluate
from tests.control_plane.apiserver.admission.helpers import UPDATE, dependencies, request
from tests.control_plane.apiserver.authn.fakes import FakeReader, Object, obj

SAFE: Any = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def spec(security: Any = None, pod: Any = None, **more: Any) -> Object:
    """A pod of two containers with the same security context."""
    both = [
        {"name": "a", "securityContext": security or {}},
        {"name": "b", "securityContext": security or {}},
    ]
    return {"containers": both, "securityContext": pod or {}, **more}


def one(security: Any = None, **more: Any) -> Object:
    return {"containers": [{"name": "c", "securityContext": security or {}, **more}]}


def found(level: str, made: Object, minor: int = 36, **metadata: Any) -> str:
    return describe(evaluate(level, minor, metadata, made))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (one(), ""),
        (one(SAFE), ""),
        (
            one({"privileged": True}),
            'privileged (container "c" must not set securityContext.privileged=true)',
        ),
        (
            spec({"privileged": True}),
            'privileged (containers "a", "b" must not set securityContext.privileged=true)',
        ),
        ({**one(), "hostNetwork": True, "hostPID": True}, "host namespaces (hostNetwork=true, hostPID=true)"),
        (
            one({"capabilities": {"add": ["NET_ADMIN", "CHOWN", "BPF"]}}),
            'non-default capabilities (container "c" must not include "BPF", "NET_ADMIN" in '
            "securityContext.capabilities.add)",
        ),
        ({**one(), "volumes": [{"name": "v", "hostPath": {}}]}, 'hostPath volumes (volume "v")'),
        (one(ports=[{"hostPort": 80}, {"hostPort": 0}]), 'hostPort (container "c" uses hostPort 80)'),
        (
            one(livenessProbe={"httpGet": {"host": "10.0.0.1"}}),
            'probe or lifecycle host (container "c" uses probe or lifecycle host "10.0.0.1")',
        ),
        (
            one({"procMount": "Unmasked"}),
            'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
        ),
        ({**one({"procMount": "Unmasked"}), "hostUsers": False}, ""),
        (
            spec({"seLinuxOptions": {"type": "x", "user": "u"}}, {"seLinuxOptions": {"type": "container_t"}}),
            'seLinuxOptions (containers "a", "b" set forbidden securityContext.seLinuxOptions: type "x"; '
            "user may not be set)",
        ),
        (
            spec({"seccompProfile": {"type": "Unconfined"}}, {"seccompProfile": {"type": "Unconfined"}}),
            'seccompProfile (pod and containers "a", "b" must not set securityContext.seccompProfile.type to '
            '"Unconfined")',
        ),
        (
            spec(pod={"sysctls": [{"name": "net.ipv4.tcp_rmem"}, {"name": "kernel.msgmax"}]}),
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            spec(pod={"windowsOptions": {"hostProcess": True}}),
            "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
        ),
        (
            one({"appArmorProfile": {"type": "Unconfined"}}),
            'forbidden AppArmor profile (container "c" must not set AppArmor profile type to "Unconfined")',
        ),
    ],
)
def test_baseline(made: Object, message: str) -> None:
    assert found("baseline", made) == message


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (one(SAFE), ""),
        (
            one(),
            'allowPrivilegeEscalation != false (container "c" must set securityContext.'
            'allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set '
            'securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set '
            'securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set '
            'securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")',
        ),
        (
            one({**SAFE, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE", "CHOWN"]}}),
            'unrestricted capabilities (container "c" must not include "CHOWN" in '
            "securityContext.capabilities.add)",
        ),
        (
            {**one(SAFE), "volumes": [{"name": "v", "nfs": {}}, {"name": "w", "emptyDir": {}}]},
            'restricted volume types (volume "v" uses restricted volume type "nfs")',
        ),
        (
            {**one(SAFE), "securityContext": {"runAsNonRoot": False}},
            "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
        ),
        (one({**SAFE, "runAsUser": 0}), 'runAsUser=0 (container "c" must not set runAsUser=0)'),
        ({**one({**SAFE, "runAsUser": 0, "runAsNonRoot": None}), "hostUsers": False}, ""),
        (
            {**one({**SAFE, "procMount": "Unmasked"}), "hostUsers": False},
            'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
        ),
        (
            {
                "containers": [{"name": "c"}],
                "os": {"name": "windows"},
                "securityContext": {"runAsNonRoot": True},
            },
            "",
        ),
    ],
)
def test_restricted(made: Object, message: str) -> None:
    assert found("restricted", made) == message


def test_init_and_ephemeral_containers_count() -> None:
    bad = {"name": "x", "securityContext": {"privileged": True}}
    for field in ("initContainers", "ephemeralContainers"):
        assert "privileged" in found("baseline", {field: [bad]})


def test_older_versions_ask_for_less() -> None:
    assert found("restricted", one({**SAFE, "runAsUser": 0}), minor=22) == ""
    assert found("baseline", spec(pod={"sysctls": [{"name": "net.ipv4.tcp_rmem"}]}), minor=31) != ""
    assert "capabilities_restricted" not in {check.id for check in applicable("restricted", 21)}
    assert applicable("privileged", 36) == []


def namespace(**labels: str) -> Object:
    named = {f"pod-security.kubernetes.io/{key.replace('_', '-')}": value for key, value in labels.items()}
    return obj("ns", metadata={"labels": named})


class TestPlugin:
    def plugin(self, *pods: Object, **labels: str) -> PodSecurity:
        return PodSecurity(dependencies(FakeReader(namespaces=[namespace(**labels)], pods=pods)))

    async def test_without_labels_all_is_allowed(self) -> None:
        asked = request("pods", obj("p", spec=one({"privileged": True})))
        await self.plugin().validate(asked)
        assert asked.warnings == []

    async def test_enforce(self) -> None:
        asked = request("pods", obj("p", spec=one({"privileged": True})))
        with pytest.raises(StatusError) as caught:
            await self.plugin(enforce="baseline").validate(asked)
        assert caught.value.message == (
            'pods "p" is forbidden: violates PodSecurity "baseline:latest": privileged (container "c" must not set '
            "securityContext.privileged=true)"
        )

    async def test_warn_and_audit(self) -> None:
        asked = request("pods", obj("p", spec=one({"privileged": True})))
        await self.plugin(warn="baseline", audit="baseline", warn_version="v1.30").validate(asked)
        assert asked.warnings[0].startswith('would violate PodSecurity "baseline:v1.30": privileged (')
        assert "pod-security.kubernetes.io/audit-violations" in asked.annotations

    async def test_what_makes_pods_is_warned_about(self) -> None:
        template = {"spec": one({"privileged": True})}
        asked = request("deployments.apps", obj("d", spec={"template": template}))
        await self.plugin(enforce="baseline").validate(asked)
        assert len(asked.warnings) == 1
        job = request("cronjobs.batch", obj("c", spec={"jobTemplate": {"spec": {"template": template}}}))
        await self.plugin(warn="baseline").validate(job)
        assert len(job.warnings) == 1

    async def test_only_updates_that_matter_are_checked(self) -> None:
        old = obj("p", spec=one({"privileged": True}))
        plugin = self.plugin(enforce="baseline")
        await plugin.validate(request("pods", old, UPDATE, old=old))
        await plugin.validate(request("pods/status", old, UPDATE, old=old))
        with pytest.raises(StatusError, match="violates PodSecurity"):
            await plugin.validate(request("pods", old, UPDATE, old=obj("p", spec=one())))

    async def test_raising_the_level_tells_of_pods_that_break_it(self) -> None:
        pods = [obj(name, "ns", spec=one({"privileged": True})) for name in ("x", "y", "z")]
        asked = request(
            "namespaces", namespace(enforce="baseline"), UPDATE, old=namespace(), namespace="ns", name="ns"
        )
        await self.plugin(*pods).validate(asked)
        assert asked.warnings == [
            'existing pods in namespace "ns" violate the new PodSecurity enforce level "baseline:latest"',
            "x (and 2 other pods): privileged",
        ]

    async def test_bad_labels_are_refused(self) -> None:
        asked = request("namespaces", namespace(enforce="high", warn_version="1.2"), namespace="")
        with pytest.raises(StatusError) as caught:
            await self.plugin().validate(asked)
        assert caught.value.code == 422
        assert "must be one of privileged, baseline, restricted" in caught.value.message
        assert 'must be "latest" or "v1.x"' in caught.value.message
        same = request("namespaces", asked.object, UPDATE, old=asked.object, namespace="")
        await self.plugin().validate(same)


def test_policies() -> None:
    policies, problems = policies_of(
        namespace(enforce="restricted", enforce_version="v1.24")["metadata"]["labels"]
    )
    assert problems == []
    assert policies["enforce"] == policies["warn"] == Policy("restricted", "v1.24")
    assert policies["audit"] == Policy("privileged", "latest")
    policies, problems = policies_of(namespace(enforce="x", audit="y")["metadata"]["labels"])
    assert len(problems) == 2
    assert (policies["enforce"].level, policies["audit"].level) == ("restricted", "privileged")
