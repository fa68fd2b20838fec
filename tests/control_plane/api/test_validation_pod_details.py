"""Semantic validation of the rarer parts of pods: what is refused, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.control_plane.api import samples
from tests.control_plane.api.judging import refused
from tests.control_plane.api.samples import container

Object = dict[str, Any]


REFUSED: list[Any] = [
    pytest.param(
        "pods",
        samples.pod(securityContext={"sysctls": [{"name": "foo-"}, {"name": "a.b"}, {"name": "a.b"}]}),
        [
            'spec.securityContext.sysctls[0].name: Invalid value: "foo-": must have at most 253 characters and match regex '
            "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$",
            'spec.securityContext.sysctls[2].name: Duplicate value: "a.b"',
        ],
        id="sysctls",
    ),
    pytest.param(
        "pods",
        samples.pod(
            containers=[container(volumeMounts=[{"name": "v", "mountPath": "/a", "subPath": "/x"}])],
            volumes=[{"name": "v", "emptyDir": {}}],
        ),
        ['spec.containers[0].volumeMounts.subPath: Invalid value: "/x": must be a relative path'],
        id="part of a volume",
    ),
    pytest.param(
        "pods",
        samples.pod(
            containers=[container(volumeDevices=[{"name": "v", "devicePath": "/dev/x"}])],
            volumes=[{"name": "v", "emptyDir": {}}],
        ),
        [
            'spec.containers[0].volumeDevices[0].name: Invalid value: "v": can only use volume source type of '
            "PersistentVolumeClaim or Ephemeral for block mode"
        ],
        id="device",
    ),
    pytest.param(
        "pods",
        samples.pod(containers=[container(lifecycle={"preStop": {"sleep": {"seconds": 31}}})]),
        [
            "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than "
            "terminationGracePeriodSeconds (30)"
        ],
        id="too long a sleep",
    ),
    pytest.param(
        "pods",
        samples.pod(
            restartPolicy="Never",
            containers=[
                container(resizePolicy=[{"resourceName": "cpu", "restartPolicy": "RestartContainer"}])
            ],
        ),
        [
            'spec.containers[0].resizePolicy: Invalid value: "RestartContainer": must be \'NotRequired\' when '
            "`restartPolicy` is 'Never'"
        ],
        id="resize",
    ),
    pytest.param(
        "pods",
        samples.pod(dnsConfig={"nameservers": ["1.1.1.1"] * 4, "searches": ["_tcp.example.com.", "A"]}),
        [
            'spec.dnsConfig.nameservers: Invalid value: ["1.1.1.1","1.1.1.1","1.1.1.1","1.1.1.1"]: must not have more than 3 nameservers',
            "spec.dnsConfig.searches[1]: Invalid value: \"A\": a lowercase RFC 1123 subdomain must consist of lower case "
            "alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character (e.g. "
            "'example.com', regex used for validation is "
            "'_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')",
        ],
        id="dns",
    ),
    pytest.param(
        "pods",
        samples.pod(resourceClaims=[{"name": "c"}], hostUsers=False, hostNetwork=True),
        [
            'spec.resourceClaims[0]: Invalid value: {"name":"c"}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`',
            "spec.hostNetwork: Forbidden: when `pod.Spec.HostUsers` is false",
        ],
        id="claims and users",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "obj", "expected"), REFUSED)
def test_refused(name: str, obj: Object, expected: list[str]) -> None:
    assert refused(name, obj) == expected
