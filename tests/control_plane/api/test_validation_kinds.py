"""Semantic validation of the rarer kinds: what is refused, and in which words."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from control_plane.api.validation import validate_create, validate_update
from tests.control_plane.api import samples
from tests.control_plane.api.samples import container, stored

Object = dict[str, Any]


def named(name: str = "n", **more: Any) -> Object:
    return {"metadata": {"name": name}, **more}


def with_spec(**spec: Any) -> Object:
    return named(spec=spec)


def indexed(**spec: Any) -> Object:
    return samples.job(completionMode="Indexed", completions=3, parallelism=1, **spec)


def failing(*rules: Object, **spec: Any) -> Object:
    template = {"spec": {"restartPolicy": "Never", "containers": [container()]}}
    return samples.job(template=template, podFailurePolicy={"rules": list(rules)}, **spec)


def autoscaler(**spec: Any) -> Object:
    return with_spec(maxReplicas=3, scaleTargetRef={"kind": "Deployment", "name": "web"}, **spec)


def cpu(**target: Any) -> Object:
    return autoscaler(metrics=[{"type": "Resource", "resource": {"name": "cpu", "target": target}}])


CSI, NET = "storage.k8s.io", "networking.k8s.io"
JOBS, HPA, QUOTA = "jobs.batch", "horizontalpodautoscalers.autoscaling", "resourcequotas"
REFUSED: list[Any] = [
    pytest.param(
        f"csidrivers.{CSI}",
        with_spec(volumeLifecycleModes=["Forever"], fsGroupPolicy="x"),
        [
            'spec.volumeLifecycleModes: Unsupported value: "Forever": supported values: "Persistent", "Ephemeral"',
            'spec.fsGroupPolicy: Unsupported value: "x": supported values: "File", "None", "ReadWriteOnceWithFSType"',
        ],
        id="csi driver",
    ),
    pytest.param(
        f"csidrivers.{CSI}",
        with_spec(tokenRequests=[{"audience": "a", "expirationSeconds": 1}, {"audience": "a"}]),
        [
            "spec.tokenRequests[0].expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes",
            'spec.tokenRequests[1].audience: Duplicate value: "a"',
        ],
        id="csi driver's tokens",
    ),
    pytest.param(
        f"csinodes.{CSI}",
        with_spec(drivers=[{"name": "d"}, {"name": "d", "nodeID": "x", "allocatable": {"count": -1}}]),
        [
            "spec.drivers[0].nodeID: Required value",
            "spec.drivers[1].allocatable.count: Invalid value: -1: must be greater than or equal to 0",
            'spec.drivers[1].name: Duplicate value: "d"',
        ],
        id="csi node",
    ),
    pytest.param(
        f"csistoragecapacities.{CSI}",
        named(storageClassName="a", capacity="-1"),
        ['capacity: Invalid value: "-1": must be greater than or equal to 0'],
        id="csi capacity",
    ),
    pytest.param(
        f"volumeattachments.{CSI}",
        with_spec(attacher="x", nodeName="n", source={}),
        ["spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName"],
        id="attachment without source",
    ),
    pytest.param(
        f"volumeattributesclasses.{CSI}",
        named(driverName=""),
        [
            "driverName: Required value",
            "parameters: Required value: must contain at least one key/value pair",
        ],
        id="attributes class",
    ),
    pytest.param(
        f"storageclasses.{CSI}",
        named(provisioner="a/b", reclaimPolicy="Recycle"),
        ['reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"'],
        id="storage class",
    ),
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
        "controllerrevisions.apps",
        named(revision=-1),
        [
            "data: Required value: data is mandatory",
            "revision: Invalid value: -1: must be greater than or equal to 0",
        ],
        id="revision",
    ),
    pytest.param(
        QUOTA,
        with_spec(hard={"cheese": "1", "pods": "1.5"}),
        [
            'spec.hard[cheese]: Invalid value: "cheese": must be a standard resource for quotas',
            'spec.hard[pods]: Invalid value: "1500m": must be an integer',
        ],
        id="quota",
    ),
    pytest.param(
        QUOTA,
        with_spec(hard={"services": "1"}, scopes=["BestEffort", "NotBestEffort"]),
        [
            'spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: unsupported scope applied to resource',
            'spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: unsupported scope applied to resource',
            'spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes',
        ],
        id="quota's scopes",
    ),
    pytest.param(
        QUOTA,
        with_spec(
            hard={"pods": "1"},
            scopeSelector={"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]},
        ),
        [
            "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` "
            "is 'In' or 'NotIn' for scope selector"
        ],
        id="quota's selector",
    ),
    pytest.param(
        "limitranges",
        with_spec(limits=[{"type": "PersistentVolumeClaim"}]),
        [
            "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither "
            "was provided"
        ],
        id="limits of claims",
    ),
    pytest.param(
        "limitranges",
        with_spec(limits=[{"type": "Pod", "min": {"cpu": "1"}, "max": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "4"}}]),
        [
            'spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "4": ratio 4 is greater than max/min = 2.000000'
        ],
        id="ratio",
    ),
    pytest.param(
        JOBS,
        samples.job(backoffLimitPerIndex=1),
        ["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"],
        id="backoff of no index",
    ),
    pytest.param(
        JOBS,
        indexed(maxFailedIndexes=4),
        [
            "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
            "spec.maxFailedIndexes: Invalid value: 4: must be less than or equal to completions",
        ],
        id="failed indexes",
    ),
    pytest.param(
        JOBS,
        failing({"action": "Jump", "onExitCodes": {"operator": "In", "values": [0, 2, 1]}}),
        [
            'spec.podFailurePolicy.rules[0].action: Unsupported value: "Jump": supported values: "Count", "FailIndex", "FailJob", "Ignore"',
            "spec.podFailurePolicy.rules[0].onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator",
            "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [0,2,1]: must be ordered",
        ],
        id="exit codes",
    ),
    pytest.param(
        JOBS,
        failing({"action": "Ignore"}),
        [
            'spec.podFailurePolicy.rules[0]: Invalid value: "": specifying one of OnExitCodes and OnPodConditions is required'
        ],
        id="rule of nothing",
    ),
    pytest.param(
        JOBS,
        samples.job(successPolicy={"rules": [{"succeededCount": 1}]}),
        [
            'spec.successPolicy: Invalid value: {"rules":[{"succeededCount":1}]}: requires indexed completion mode'
        ],
        id="success of no index",
    ),
    pytest.param(
        JOBS,
        indexed(successPolicy={"rules": [{"succeededIndexes": "2,1"}, {"succeededCount": 9}]}),
        [
            'spec.successPolicy.rules[0].succeededIndexes: Invalid value: "2,1": error parsing succeededIndexes: '
            "non-increasing order, previous: 2, current: 1",
            "spec.successPolicy.rules[1].succeededCount: Invalid value: 9: must be less than or equal to 3 (the number of specified completions)",
        ],
        id="success",
    ),
    pytest.param(
        HPA,
        autoscaler(metrics=[{"type": "Pods"}]),
        ["spec.metrics[0].pods: Required value: must populate information for the given metric source"],
        id="no source",
    ),
    pytest.param(
        HPA,
        cpu(type="Utilization", averageUtilization=0),
        ["spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be greater than 0"],
        id="utilization",
    ),
    pytest.param(
        HPA,
        cpu(type="Utilization"),
        [
            "spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw value or a target utilization"
        ],
        id="no target",
    ),
    pytest.param(
        HPA,
        autoscaler(
            behavior={"scaleUp": {"policies": [{"type": "Pods", "value": 0, "periodSeconds": 1801}]}}
        ),
        [
            "spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero",
            "spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800",
        ],
        id="behavior",
    ),
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
        "poddisruptionbudgets.policy",
        with_spec(minAvailable="101%"),
        ['spec.minAvailable: Invalid value: "101%": must not be greater than 100%'],
        id="more than all",
    ),
    pytest.param(
        "statefulsets.apps",
        samples.workload(serviceName="s", podManagementPolicy="Random"),
        ["spec.podManagementPolicy: Invalid value: \"Random\": must be 'OrderedReady' or 'Parallel'"],
        id="pod management",
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
    kind, made = stored(name, deepcopy(obj))
    assert [str(e) for e in validate_create(kind, made)] == expected


FIXED = "field is immutable"
UPDATES: list[Any] = [
    pytest.param(
        f"csidrivers.{CSI}",
        with_spec(attachRequired=True),
        ("spec", "attachRequired"),
        False,
        [f"spec.attachedRequired: Invalid value: false: {FIXED}"],
        id="csi driver",
    ),
    pytest.param(
        f"csinodes.{CSI}",
        with_spec(drivers=[{"name": "d", "nodeID": "x"}]),
        ("spec", "drivers"),
        [{"name": "d", "nodeID": "x", "allocatable": {"count": 3}}],
        [],
        id="csi node takes more",
    ),
    pytest.param(
        f"volumeattributesclasses.{CSI}",
        named(driverName="d", parameters={"a": "b"}),
        ("parameters",),
        {"a": "c"},
        ["parameters: Forbidden: updates to parameters are forbidden."],
        id="attributes class",
    ),
    pytest.param(
        f"storageclasses.{CSI}",
        named(provisioner="a/b", volumeBindingMode="Immediate"),
        ("volumeBindingMode",),
        "WaitForFirstConsumer",
        [f'volumeBindingMode: Invalid value: "WaitForFirstConsumer": {FIXED}'],
        id="storage class",
    ),
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
    pytest.param(
        "controllerrevisions.apps",
        named(data={"a": 1}, revision=1),
        ("data",),
        {"a": 2},
        [f'data: Invalid value: {{"a":2}}: {FIXED}'],
        id="revision's data",
    ),
    pytest.param(
        JOBS,
        samples.job(suspend=True),
        ("spec", "template", "spec", "nodeSelector"),
        {"a": "b"},
        [],
        id="a suspended job may be steered",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "obj", "path", "value", "expected"), UPDATES)
def test_updates(name: str, obj: Object, path: tuple[str, ...], value: Any, expected: list[str]) -> None:
    kind, old = stored(name, deepcopy(obj))
    new = deepcopy(old)
    at = new
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    assert [str(e) for e in validate_update(kind, new, old)] == expected


def test_a_suspended_job_keeps_its_commands() -> None:
    kind, old = stored(JOBS, samples.job(suspend=True))
    new = deepcopy(old)
    new["spec"]["template"]["spec"]["containers"][0]["command"] = ["x"]
    (found,) = validate_update(kind, new, old)
    assert str(found).startswith("spec.template: Invalid value")
    assert str(found).endswith(FIXED)


STATUSES: list[Any] = [
    pytest.param(
        "deployments.apps",
        samples.workload(),
        {"replicas": 1, "readyReplicas": 2, "availableReplicas": -1},
        [
            "status.availableReplicas: Invalid value: -1: must be greater than or equal to 0",
            "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
        ],
        id="deployment",
    ),
    pytest.param(
        "services",
        named(kind="Service", spec={"ports": [{"port": 80}]}),
        {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}},
        ['status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is "LoadBalancer"'],
        id="service",
    ),
    pytest.param(
        "jobs.batch",
        samples.job(),
        {"succeeded": -1},
        ["status.succeeded: Invalid value: -1: must be greater than or equal to 0"],
        id="job",
    ),
]


@pytest.mark.parametrize(("name", "obj", "status", "expected"), STATUSES)
def test_statuses(name: str, obj: Object, status: Object, expected: list[str]) -> None:
    kind, old = stored(name, deepcopy(obj))
    new = {**deepcopy(old), "status": status}
    assert [str(e) for e in validate_update(kind, new, old, "status")] == expected
