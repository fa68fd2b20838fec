"""Which plugins run, and in which order."""

from __future__ import annotations

import pytest

from control_plane.api.errors import StatusError
from control_plane.apiserver.admission.chain import AdmissionChain, UnknownPlugin, build_admission
from control_plane.apiserver.admission.interface import AdmissionRequest, Kind
from control_plane.apiserver.admission.plugin import Plugin
from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.authz.build import build_authorizer
from control_plane.apiserver.authz.rbac import GROUP
from tests.control_plane.apiserver.admission.helpers import dependencies, request
from tests.control_plane.apiserver.authn.fakes import FakeReader, obj

OFF = {
    "AlwaysPullImages",
    "EventRateLimit",
    "ExtendedResourceToleration",
    "NamespaceAutoProvision",
    "OwnerReferencesPermissionEnforcement",
    "PodNodeSelector",
}


def test_default_plugins() -> None:
    names = build_admission(dependencies()).names
    assert not OFF & set(names)
    assert names[0] == "NamespaceLifecycle"
    assert names[-1] == "ResourceQuota"


def test_on_and_off() -> None:
    chain = build_admission(dependencies(), sorted(OFF), ["Priority", "RBACEscalation"])
    assert set(chain.names) >= OFF
    assert "Priority" not in chain.names
    assert "RBACEscalation" in chain.names, "never off"


@pytest.mark.parametrize(
    ("enable", "disable"), [(["None"], []), ([], ["None"]), (["Priority"], ["Priority"])]
)
def test_bad_flags(enable: list[str], disable: list[str]) -> None:
    with pytest.raises(UnknownPlugin):
        build_admission(dependencies(), enable, disable)


class Asked(Plugin):
    """Notes what it is asked about."""

    def __init__(self, name: str, concerns: frozenset[Kind] | None) -> None:
        self.name = name
        self.concerns = concerns  # type: ignore[misc]
        self.seen: list[str] = []

    async def mutate(self, request: AdmissionRequest) -> None:
        self.seen.append(f"mutate {request.resource}")

    async def validate(self, request: AdmissionRequest) -> None:
        self.seen.append(f"validate {request.resource}")


@pytest.mark.parametrize(
    ("concerns", "seen"),
    [
        pytest.param(None, ["secrets", "pods", "jobs"], id="all kinds"),
        pytest.param(frozenset({("", "pods")}), ["pods"], id="one kind"),
        pytest.param(frozenset({("", "secrets"), ("batch", "jobs")}), ["secrets", "jobs"], id="two kinds"),
        pytest.param(frozenset({("", "jobs")}), [], id="a kind of another group"),
    ],
)
async def test_a_plugin_is_asked_about_what_it_concerns(
    concerns: frozenset[Kind] | None, seen: list[str]
) -> None:
    plugin = Asked("asked", concerns)
    chain = AdmissionChain([Asked("another", frozenset({("", "nodes")})), plugin])
    for resource in ("secrets", "pods", "jobs.batch"):
        asked = request(resource, obj("x"))
        await chain.mutate(asked)
        await chain.validate(asked)
    assert plugin.seen == [f"{step} {resource}" for resource in seen for step in ("mutate", "validate")]


async def test_a_pod_on_its_way() -> None:
    reader = FakeReader(namespaces=[obj("ns")], serviceaccounts=[obj("default", "ns")])
    chain = build_admission(dependencies(reader))
    pod = obj("web", spec={"containers": [{"name": "c"}]})
    asked = request("pods", pod)
    await chain.mutate(asked)
    await chain.validate(asked)
    assert pod["spec"]["serviceAccountName"] == "default"
    assert pod["spec"]["priority"] == 0
    assert len(pod["spec"]["tolerations"]) == 2


async def test_nobody_gives_what_they_do_not_have() -> None:
    reader = FakeReader(namespaces=[obj("ns")])
    authorization = build_authorizer(["RBAC"], reader)
    more = {"authorizer": authorization.authorizer, "escalation": authorization.escalation}
    chain = build_admission(dependencies(reader, **more))
    role = obj("r", rules=[{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}])
    with pytest.raises(StatusError, match="attempting to grant RBAC permissions not currently held"):
        await chain.validate(request(f"roles.{GROUP}", role))
    await chain.validate(request(f"roles.{GROUP}", role, user=UserInfo("root", groups=("system:masters",))))
