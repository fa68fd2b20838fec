"""Semantic validation of ingresses, policies, addresses: what is refused, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.control_plane.api.judging import FIXED, named, refused, refused_update, with_spec

Object = dict[str, Any]
NET = "networking.k8s.io"


REFUSED: list[Any] = [
    pytest.param(
        f"ingressclasses.{NET}",
        with_spec(controller="x"),
        ['spec.controller: Invalid value: "x": must be a domain-prefixed path (such as "acme.io/foo")'],
        id="ingress class",
    ),
    pytest.param(
        f"ingressclasses.{NET}",
        with_spec(controller="a.io/b", parameters={"kind": "K", "name": "n", "scope": "Namespace"}),
        ["spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"],
        id="ingress class's parameters",
    ),
    pytest.param(
        f"networkpolicies.{NET}",
        with_spec(ingress=[{"from": [{"ipBlock": {"cidr": "10.0.0.0/16", "except": ["10.1.0.0/24"]}}]}]),
        [
            'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "10.1.0.0/24": must be a strict subset of `cidr`'
        ],
        id="policy's exception",
    ),
    pytest.param(
        f"servicecidrs.{NET}",
        with_spec(cidrs=["10.0.0.0/16", "10.1.0.0/16"]),
        [
            'spec.cidrs: Invalid value: ["10.0.0.0/16","10.1.0.0/16"]: may specify no more than one IP for each IP family, '
            "i.e 192.168.0.0/24 and 2001:db8::/64"
        ],
        id="one family twice",
    ),
    pytest.param(
        f"ipaddresses.{NET}",
        named("1.2.3.4", spec={"parentRef": {"resource": "a/b"}}),
        [
            "spec.parentRef.resource: Invalid value: \"a/b\": may not contain '/'",
            "spec.parentRef.name: Required value",
        ],
        id="address's parent",
    ),
    pytest.param(
        f"ingresses.{NET}",
        with_spec(),
        ["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"],
        id="ingress of nothing",
    ),
    pytest.param(
        f"ingresses.{NET}",
        with_spec(rules=[{"host": "1.2.3.4", "http": {"paths": [{"path": "/a//b/..", "pathType": "Prefix"}]}}]),
        [
            'spec.rules[0].host: Invalid value: "1.2.3.4": must be a DNS name, not an IP address',
            "spec.rules[0].http.paths[0].path: Invalid value: \"/a//b/..\": must not contain '//'",
            "spec.rules[0].http.paths[0].path: Invalid value: \"/a//b/..\": cannot end with '/..'",
            'spec.rules[0].http.paths[0].backend: Invalid value: "": resource or service backend is required',
        ],
        id="ingress's paths",
    ),
    pytest.param(
        f"ingresses.{NET}",
        with_spec(defaultBackend={"resource": {"kind": "K"}}),
        ["spec.defaultBackend.resource.name: Required value: name is required"],
        id="ingress's resource",
    ),
    pytest.param(
        "endpoints",
        named(subsets=[{"addresses": [{"ip": "0.0.0.0"}, {"ip": "169.254.1.1"}, {"ip": "224.0.0.1"}]}]),
        [
            'subsets[0].addresses[0].ip: Invalid value: "0.0.0.0": may not be unspecified (0.0.0.0 or ::)',
            'subsets[0].addresses[1].ip: Invalid value: "169.254.1.1": may not be in the link-local range (169.254.0.0/16, fe80::/10)',
            'subsets[0].addresses[2].ip: Invalid value: "224.0.0.1": may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)',
        ],
        id="addresses that serve nothing",
    ),
    pytest.param(
        "services",
        with_spec(ports=[{"port": 80}], trafficDistribution="Far"),
        [
            'spec.trafficDistribution: Unsupported value: "Far": supported values: "PreferClose", "PreferSameNode", "PreferSameZone"'
        ],
        id="traffic distribution",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "obj", "expected"), REFUSED)
def test_refused(name: str, obj: Object, expected: list[str]) -> None:
    assert refused(name, obj) == expected


UPDATES: list[Any] = [
    pytest.param(
        f"servicecidrs.{NET}",
        with_spec(cidrs=["10.0.0.0/16"]),
        ("spec", "cidrs"),
        ["10.0.0.0/16", "fd00::/64"],
        [],
        id="a second family",
    ),
    pytest.param(
        f"servicecidrs.{NET}",
        with_spec(cidrs=["10.0.0.0/16"]),
        ("spec", "cidrs"),
        ["10.1.0.0/16"],
        [f'spec.cidrs[0]: Invalid value: "10.1.0.0/16": {FIXED}'],
        id="another range",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "obj", "path", "value", "expected"), UPDATES)
def test_updates(name: str, obj: Object, path: tuple[str, ...], value: Any, expected: list[str]) -> None:
    assert refused_update(name, obj, path, value) == expected
