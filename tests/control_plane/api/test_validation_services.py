"""What kube-apiserver's own tests of services, ingresses, network policies, stateful sets and cron jobs refuse."""

from __future__ import annotations

from typing import Any

import pytest

from tests.control_plane.api import samples
from tests.control_plane.api.judging import check

Object = dict[str, Any]
SERVICES, INGRESSES, POLICIES = "services", "ingresses.networking.k8s.io", "networkpolicies.networking.k8s.io"
SETS, CRONS = "statefulsets.apps", "cronjobs.batch"


def named(**spec: Any) -> Object:
    return {"metadata": {"name": "n"}, "spec": spec}


def service(*ports: Object, **spec: Any) -> Object:
    return named(ports=list(ports) or [{"port": 80}], **spec)


def exposed(**spec: Any) -> Object:
    return service(type="LoadBalancer", **spec)


def backend(**port: Any) -> Object:
    return {"service": {"name": "s", "port": port or {"number": 80}}}


def ingress(path: Any = "/", kind: str = "Prefix", host: str = "", to: Any = None, **spec: Any) -> Object:
    paths = [{"path": path, "pathType": kind, "backend": to or backend()}]
    return named(rules=[{"host": host, "http": {"paths": paths}}], **spec)


def policy(*peers: Object, ports: Any = (), **spec: Any) -> Object:
    return named(podSelector={}, ingress=[{"from": list(peers), "ports": list(ports)}], **spec)


def block(cidr: str, *excepted: str) -> Object:
    return {"ipBlock": {"cidr": cidr, "except": list(excepted)}}


def stateful(**spec: Any) -> Object:
    return samples.workload(serviceName="s", **spec)


def rolling(**how: Any) -> Object:
    return stateful(updateStrategy={"type": "RollingUpdate", "rollingUpdate": how})


def cron(schedule: str = "* * * * *", name: str = "c", **spec: Any) -> Object:
    template = {"spec": samples.job()["spec"]}
    return {"metadata": {"name": name}, "spec": {"schedule": schedule, "jobTemplate": template, **spec}}


HTTP = "spec.rules[0].http.paths[0]"
FROM = "spec.ingress[0].from[0]"
ROLLING = "spec.updateStrategy.rollingUpdate"
CASES: list[Any] = [
    pytest.param(SERVICES, service({"port": 0}), ["spec.ports[0].port: Invalid value: 0", "spec.ports[0].targetPort: Invalid"], id="port of none"),
    pytest.param(SERVICES, service({"port": 80, "protocol": "X"}), ['spec.ports[0].protocol: Unsupported value: "X"'], id="protocol"),
    pytest.param(SERVICES, service({"port": 80, "targetPort": "a_b"}), ['spec.ports[0].targetPort: Invalid value: "a_b"'], id="target"),
    pytest.param(SERVICES, service({"port": 1, "name": "a"}, {"port": 2}), ["spec.ports[1].name: Required value"], id="one of two is named"),
    pytest.param(SERVICES, service({"port": 1, "name": "a"}, {"port": 1, "name": "b"}), ["spec.ports[1]: Duplicate value"], id="one port twice"),
    pytest.param(SERVICES, service({"port": 1, "name": "a"}, {"port": 1, "name": "b", "protocol": "UDP"}), [], id="one port of two protocols"),
    pytest.param(SERVICES, service({"port": 1, "appProtocol": "a b"}), ['spec.ports[0].appProtocol: Invalid value: "a b"'], id="application"),
    pytest.param(SERVICES, service(type="Odd"), ['spec.type: Unsupported value: "Odd"'], id="type"),
    pytest.param(SERVICES, service(selector={"a b": "c"}), ['spec.selector: Invalid value: "a b"'], id="selector"),
    pytest.param(SERVICES, service(sessionAffinity="Odd"), ['spec.sessionAffinity: Unsupported value: "Odd"'], id="affinity"),
    pytest.param(
        SERVICES,
        service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 86401}}),
        ["spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: must be greater than 0 and less than 86400"],
        id="a day and more",
    ),
    *(
        pytest.param(SERVICES, service(externalIPs=[address]), [f'spec.externalIPs[0]: Invalid value: "{address}": {why}'], id=f"external {address}")
        for address, why in [
            ("x", "must be a valid IP address"),
            ("0.0.0.0", "may not be unspecified"),
            ("127.0.0.1", "may not be in the loopback range"),
            ("169.254.1.1", "may not be in the link-local range"),
            ("224.0.0.1", "may not be in the link-local multicast range"),
        ]
    ),
    pytest.param(SERVICES, service(externalIPs=["192.0.2.1"]), [], id="external"),
    pytest.param(SERVICES, exposed(loadBalancerSourceRanges=["a"]), ['spec.loadBalancerSourceRanges[0]: Invalid value: "a"'], id="range"),
    pytest.param(SERVICES, service(loadBalancerSourceRanges=["10.0.0.0/8"]), ["spec.LoadBalancerSourceRanges: Forbidden"], id="range of none"),
    pytest.param(SERVICES, service(loadBalancerClass="a/b"), ["spec.loadBalancerClass: Forbidden: may only be used"], id="class of none"),
    pytest.param(SERVICES, exposed(clusterIP="None"), ["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for LoadBalancer services"], id="balanced and headless"),
    pytest.param(SERVICES, exposed(externalTrafficPolicy="Odd"), ['spec.externalTrafficPolicy: Unsupported value: "Odd"'], id="traffic"),
    pytest.param(SERVICES, service(externalTrafficPolicy="Local"), ["spec.externalTrafficPolicy: Invalid"], id="traffic of none"),
    pytest.param(SERVICES, service(internalTrafficPolicy="Odd"), ['spec.internalTrafficPolicy: Unsupported value: "Odd"'], id="internal traffic"),
    pytest.param(SERVICES, service(ipFamilies=["IPv4", "IPv4"]), ['spec.ipFamilies[1]: Duplicate value: "IPv4"'], id="one family twice"),
    pytest.param(SERVICES, named(type="ExternalName"), ["spec.externalName: Required value"], id="no external name"),
    pytest.param(SERVICES, named(type="ExternalName", externalName="a b"), ['spec.externalName: Invalid value: "a b"'], id="external name"),
    pytest.param(INGRESSES, ingress(), [], id="ingress"),
    pytest.param(INGRESSES, ingress("a"), [f'{HTTP}.path: Invalid value: "a": must be an absolute path'], id="relative path"),
    pytest.param(INGRESSES, ingress("", "ImplementationSpecific"), [], id="no path"),
    pytest.param(INGRESSES, ingress("/a//b"), [f"{HTTP}.path: Invalid value: \"/a//b\": must not contain '//'"], id="two slashes"),
    pytest.param(INGRESSES, ingress("/a/.."), [f"{HTTP}.path: Invalid value: \"/a/..\": cannot end with '/..'"], id="path upwards"),
    pytest.param(INGRESSES, ingress(kind="Odd"), [f'{HTTP}.pathType: Unsupported value: "Odd"'], id="path type"),
    pytest.param(INGRESSES, ingress(host="1.2.3.4"), ['spec.rules[0].host: Invalid value: "1.2.3.4": must be a DNS name, not an IP address'], id="address"),
    pytest.param(INGRESSES, ingress(host="*.a.com"), [], id="wildcard"),
    pytest.param(INGRESSES, ingress(host="a.*.com"), ['spec.rules[0].host: Invalid value: "a.*.com"'], id="wildcard within"),
    pytest.param(INGRESSES, ingress(to=backend(name="a", number=1)), [f'{HTTP}.backend: Invalid value: "": cannot set both port name & port number'], id="two ports"),
    pytest.param(INGRESSES, ingress(to={"service": {"name": ""}}), [f"{HTTP}.backend.service.name: Required", f"{HTTP}.backend: Required value: port name or number"], id="no service"),
    pytest.param(INGRESSES, ingress(tls=[{"hosts": ["a b"], "secretName": "A"}]), ["spec.tls[0].hosts[0]: Invalid", "spec.tls[0].secretName: Invalid"], id="tls"),
    pytest.param(INGRESSES, ingress(ingressClassName="A"), ['spec.ingressClassName: Invalid value: "A"'], id="class"),
    pytest.param(POLICIES, policy(), [], id="policy"),
    pytest.param(POLICIES, policy({}), [f"{FROM}: Required value: must specify a peer"], id="nobody"),
    pytest.param(POLICIES, policy({"podSelector": {}, "namespaceSelector": {}}), [], id="pods of namespaces"),
    pytest.param(POLICIES, policy({"podSelector": {}, **block("10.0.0.0/8")}), [f"{FROM}: Forbidden: may not specify both ipBlock and another peer"], id="pods and a block"),
    pytest.param(POLICIES, policy(block("")), [f"{FROM}.ipBlock.cidr: Required value"], id="no block"),
    pytest.param(POLICIES, policy(block("10.0.0.0")), [f'{FROM}.ipBlock.cidr: Invalid value: "10.0.0.0"'], id="no range"),
    pytest.param(POLICIES, policy(block("10.0.0.0/24", "10.0.1.0/24")), [f'{FROM}.ipBlock.except[0]: Invalid value: "10.0.1.0/24": must be a strict subset'], id="outside"),
    pytest.param(POLICIES, policy(ports=[{"protocol": "X"}]), ['spec.ingress[0].ports[0].protocol: Unsupported value: "X"'], id="policy's protocol"),
    pytest.param(POLICIES, policy(ports=[{"port": 80, "endPort": 79}]), ["spec.ingress[0].ports[0].endPort: Invalid value: 79: must be greater than or equal to `port`"], id="backwards"),
    pytest.param(POLICIES, policy(ports=[{"port": "http", "endPort": 80}]), ["spec.ingress[0].ports[0].endPort: Invalid value: 80: may not be specified when `port` is non-numeric"], id="from a name"),
    pytest.param(POLICIES, policy(ports=[{"endPort": 80}]), ["spec.ingress[0].ports[0].endPort: Invalid value: 80: may not be specified when `port` is not specified"], id="from nowhere"),
    pytest.param(POLICIES, policy(policyTypes=["Odd"]), ['spec.policyTypes[0]: Unsupported value: "Odd"'], id="policy type"),
    pytest.param(SETS, stateful(), [], id="stateful set"),
    pytest.param(SETS, stateful(replicas=-1), ["spec.replicas: Invalid value: -1"], id="stateful replicas"),
    pytest.param(SETS, stateful(ordinals={"start": -1}), ["spec.ordinals.start: Invalid value: -1"], id="first ordinal"),
    pytest.param(SETS, stateful(podManagementPolicy="Odd"), ['spec.podManagementPolicy: Invalid value: "Odd"'], id="management"),
    pytest.param(SETS, rolling(partition=-1), [f"{ROLLING}.partition: Invalid value: -1"], id="partition"),
    pytest.param(SETS, rolling(maxUnavailable=2), [], id="two at a time"),
    pytest.param(SETS, rolling(maxUnavailable=0), [f"{ROLLING}.maxUnavailable: Invalid value: 0: cannot be 0"], id="none at a time"),
    pytest.param(SETS, rolling(maxUnavailable="101%"), [f'{ROLLING}.maxUnavailable: Invalid value: "101%": must not be greater than 100%'], id="more than all"),
    pytest.param(SETS, stateful(updateStrategy={"type": "OnDelete", "rollingUpdate": {"partition": 1}}), [f"{ROLLING}: Invalid"], id="rolling on delete"),
    pytest.param(
        SETS,
        stateful(persistentVolumeClaimRetentionPolicy={"whenDeleted": "Odd", "whenScaled": "Retain"}),
        ['spec.persistentVolumeClaimRetentionPolicy.whenDeleted: Unsupported value: "Odd"'],
        id="retention",
    ),
    pytest.param(CRONS, cron(name="x" * 53), ["metadata.name: Invalid value", ], id="long name"),
    pytest.param(CRONS, cron(""), ["spec.schedule: Required value"], id="no schedule"),
    pytest.param(CRONS, cron("* * * *"), ['spec.schedule: Invalid value: "* * * *": expected exactly 5 fields, found 4: [* * * *]'], id="four fields"),
    pytest.param(CRONS, cron("TZ=UTC * * * * *"), ["spec.schedule: Invalid value: \"TZ=UTC * * * * *\": cannot use TZ or CRON_TZ in schedule"], id="zone in the schedule"),
    pytest.param(CRONS, cron("@every 1h30m"), [], id="interval"),
    pytest.param(CRONS, cron("@every x"), ['spec.schedule: Invalid value: "@every x": failed to parse duration @every x: time: invalid duration "x"'], id="no interval"),
    pytest.param(CRONS, cron(timeZone=""), ['spec.timeZone: Invalid value: "": timeZone must be nil or non-empty string'], id="empty zone"),
    pytest.param(CRONS, cron(timeZone="local"), ['spec.timeZone: Invalid value: "local": timeZone must be an explicit time zone'], id="local zone"),
    pytest.param(CRONS, cron(timeZone="Nowhere/At"), ['spec.timeZone: Invalid value: "Nowhere/At": unknown time zone Nowhere/At'], id="zone"),
    pytest.param(CRONS, cron(startingDeadlineSeconds=-1), ["spec.startingDeadlineSeconds: Invalid value: -1"], id="deadline"),
    pytest.param(CRONS, cron(concurrencyPolicy="Odd"), ['spec.concurrencyPolicy: Unsupported value: "Odd"'], id="concurrency"),
    pytest.param(CRONS, cron(failedJobsHistoryLimit=-1), ["spec.failedJobsHistoryLimit: Invalid value: -1"], id="history"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "obj", "told"), CASES)
def test_kinds(kind: str, obj: Object, told: list[str]) -> None:
    check(kind, obj, told)
