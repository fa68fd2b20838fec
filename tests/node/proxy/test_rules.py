"""What is listened on for a Service (after kube-proxy's rules)."""

from __future__ import annotations

from typing import Any

import pytest

from node.proxy.rules import Backend, Listener, Where, for_service

HERE = Where("node-1", "172.30.0.11", zone="west")
NODE_PORT = Listener("172.30.0.11", 30080, "TCP")
HOST_PORT = Listener("127.0.0.1", 30080, "TCP", on_host=True)
CLUSTER = Listener("10.96.0.5", 80, "TCP")


def service(*, ports: list[dict[str, Any]] | None = None, **spec: Any) -> dict[str, Any]:
    port = {"port": 80, "protocol": "TCP", "targetPort": 8080}
    return {
        "metadata": {"namespace": "default", "name": "web"},
        "spec": {"type": "ClusterIP", "clusterIP": "10.96.0.5", "ports": ports or [port], **spec},
    }


def endpoint(
    last: int, node: str = "node-1", *, zones: str = "", nodes: str = "", **conditions: Any
) -> dict[str, Any]:
    hints: dict[str, Any] = {"forZones": [{"name": zone} for zone in zones.split()]} if zones else {}
    if nodes:
        hints["forNodes"] = [{"name": name} for name in nodes.split()]
    return {"addresses": [f"10.244.1.{last}"], "nodeName": node, "conditions": conditions, "hints": hints}


def slice_of(
    *endpoints: dict[str, Any], name: str = "", port: int = 8080, protocol: str = "TCP"
) -> dict[str, Any]:
    ports = [{"name": name, "port": port, "protocol": protocol}]
    return {"addressType": "IPv4", "ports": ports, "endpoints": list(endpoints)}


def lasts(found: dict[Listener, Any], listener: Listener = CLUSTER) -> list[int]:
    """The last bytes of a listener's backends; nothing when it is not listened on."""
    rule = found.get(listener)
    return [int(backend.address.rsplit(".")[-1]) for backend in rule.backends] if rule else []


def test_a_cluster_address_leads_to_the_endpoints() -> None:
    found = for_service(service(), [slice_of(endpoint(3), endpoint(2, "node-2"))], HERE)
    assert list(found) == [CLUSTER]
    assert found[CLUSTER].backends == (Backend("10.244.1.2", 8080), Backend("10.244.1.3", 8080))
    assert found[CLUSTER].service == "default/web:80"


@pytest.mark.parametrize(
    ("endpoints", "expected"),
    [
        pytest.param([], [], id="none"),
        pytest.param([endpoint(2, ready=True), endpoint(3, ready=False)], [2], id="ready-only"),
        pytest.param([endpoint(2, ready=None)], [2], id="unknown-is-ready"),
        pytest.param([endpoint(2, ready=False)], [], id="none-ready"),
        pytest.param(
            [
                endpoint(2, ready=False, serving=True, terminating=True),
                endpoint(3, ready=False, terminating=True),
            ],
            [2],
            id="serving-while-terminating-as-the-last-resort",
        ),
        pytest.param(
            [endpoint(2, ready=False, serving=True, terminating=True), endpoint(3, ready=True)],
            [3],
            id="not-while-one-is-ready",
        ),
        pytest.param([endpoint(2, zones="west"), endpoint(3, zones="east")], [2], id="hints"),
        pytest.param([endpoint(2, zones="west"), endpoint(3)], [2, 3], id="hints-not-on-all"),
        pytest.param(
            [endpoint(2, zones="east"), endpoint(3, zones="north")], [2, 3], id="hints-not-for-here"
        ),
        pytest.param([endpoint(2, nodes="node-1"), endpoint(3, nodes="node-2")], [2], id="node-hints"),
    ],
)
def test_which_endpoints_count(endpoints: list[dict[str, Any]], expected: list[int]) -> None:
    assert lasts(for_service(service(), [slice_of(*endpoints)], HERE)) == expected


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"clusterIP": "None"}, id="headless"),
        pytest.param({"clusterIP": ""}, id="not-yet-allocated"),
        pytest.param({"type": "ExternalName", "externalName": "example.org"}, id="external-name"),
        pytest.param({"ports": [{"port": 80, "protocol": "SCTP"}]}, id="sctp"),
    ],
)
def test_not_proxied(spec: dict[str, Any]) -> None:
    assert for_service(service(**spec), [slice_of(endpoint(2))], HERE) == {}


def test_another_proxys_service() -> None:
    labelled = service()
    labelled["metadata"]["labels"] = {"service.kubernetes.io/service-proxy-name": "other"}
    assert for_service(labelled, [slice_of(endpoint(2))], HERE) == {}


NODE_PORTS = [{"port": 80, "nodePort": 30080}]
BOTH = [slice_of(endpoint(2), endpoint(3, "node-2"))]
AWAY = [slice_of(endpoint(3, "node-2"))]


@pytest.mark.parametrize(
    ("spec", "slices", "expected"),
    [
        pytest.param({}, BOTH, {CLUSTER: [2, 3], NODE_PORT: [2, 3], HOST_PORT: [2, 3]}, id="cluster"),
        pytest.param(
            {"externalTrafficPolicy": "Local"},
            BOTH,
            {CLUSTER: [2, 3], NODE_PORT: [2], HOST_PORT: [2, 3]},
            id="external-local",
        ),
        pytest.param(
            {"externalTrafficPolicy": "Local"},
            AWAY,
            {CLUSTER: [3], NODE_PORT: [], HOST_PORT: [3]},
            id="external-local-without-a-local-one",
        ),
        pytest.param(
            {"internalTrafficPolicy": "Local"},
            BOTH,
            {CLUSTER: [2], NODE_PORT: [2, 3], HOST_PORT: [2, 3]},
            id="internal-local",
        ),
        pytest.param(
            {"internalTrafficPolicy": "Local"}, AWAY, {CLUSTER: [], NODE_PORT: [3]}, id="internal-local-away"
        ),
    ],
)
def test_node_ports_and_traffic_policies(
    spec: dict[str, Any], slices: list[dict[str, Any]], expected: dict[Listener, list[int]]
) -> None:
    found = for_service(service(type="NodePort", ports=NODE_PORTS, **spec), slices, HERE)
    assert {listener: lasts(found, listener) for listener in expected} == expected


def test_outside_addresses() -> None:
    spec = service(type="LoadBalancer", externalIPs=["1.2.3.4"])
    ingress = [{"ip": "5.6.7.8"}, {"ip": "9.9.9.9", "ipMode": "Proxy"}, {"hostname": "lb.example.org"}]
    spec["status"] = {"loadBalancer": {"ingress": ingress}}
    found = for_service(spec, BOTH, HERE)
    assert {listener.address for listener in found} == {"10.96.0.5", "1.2.3.4", "5.6.7.8"}


def test_named_ports_and_protocols() -> None:
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
    ]
    slices = [
        slice_of(endpoint(2), name="dns", port=5353, protocol="UDP"),
        slice_of(endpoint(2), name="dns-tcp", port=5354),
        slice_of(endpoint(9), name="metrics"),
    ]
    found = for_service(service(ports=ports), slices, HERE)
    assert found[Listener("10.96.0.5", 53, "UDP")].backends == (Backend("10.244.1.2", 5353),)
    assert found[Listener("10.96.0.5", 53, "TCP")].backends == (Backend("10.244.1.2", 5354),)


def test_ipv6_slices_and_addresses_are_left_out() -> None:
    six = slice_of(endpoint(2)) | {"addressType": "IPv6"}
    dual = service(clusterIPs=["10.96.0.5", "fd00::5"])
    assert for_service(dual, [six], HERE) == {}
    assert list(for_service(dual, [slice_of(endpoint(2))], HERE)) == [CLUSTER]


@pytest.mark.parametrize(
    ("spec", "timeout_s"),
    [
        ({}, 0),
        ({"sessionAffinity": "None"}, 0),
        ({"sessionAffinity": "ClientIP"}, 10800),
        ({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}}}, 5),
    ],
)
def test_affinity(spec: dict[str, Any], timeout_s: int) -> None:
    assert for_service(service(**spec), BOTH, HERE)[CLUSTER].affinity_timeout_s == timeout_s
