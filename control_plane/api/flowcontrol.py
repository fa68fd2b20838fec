"""Priority and fairness: the levels and schemas that are there from the start, as kube-apiserver 1.36 makes them.

Mandatory ones are kept as they are here; suggested ones are kept so unless their administrator says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

GROUP = "flowcontrol.apiserver.k8s.io"
AUTO_UPDATE = "apf.kubernetes.io/autoupdate-spec"
EXEMPT, CATCH_ALL = "exempt", "catch-all"
MAX_ENTROPY_BITS = 60  # of a flow's hash, so that the last card is still as good as random
LEVELS, SCHEMAS = "prioritylevelconfigurations", "flowschemas"

_API_VERSION = f"{GROUP}/v1"
_NODES, _ADMINISTRATORS = "system:nodes", "system:masters"
_AUTHENTICATED, _UNAUTHENTICATED = "system:authenticated", "system:unauthenticated"
_SERVICE_ACCOUNTS = "system:serviceaccounts"
_MANAGER, _SCHEDULER = "system:kube-controller-manager", "system:kube-scheduler"

Object = dict[str, Any]


def _level(name: str, spec: Object) -> Object:
    metadata = {"name": name, "annotations": {AUTO_UPDATE: "true"}}
    return {
        "apiVersion": _API_VERSION,
        "kind": "PriorityLevelConfiguration",
        "metadata": metadata,
        "spec": spec,
    }


def _queues(name: str, shares: int, lendable: int, queues: int, hand: int) -> Object:
    queuing = {"queues": queues, "handSize": hand, "queueLengthLimit": 50}
    response = {"type": "Queue", "queuing": queuing}
    return _limited(name, shares, lendable, response)


def _limited(name: str, shares: int, lendable: int, response: Object) -> Object:
    limited = {
        "nominalConcurrencyShares": shares,
        "lendablePercent": lendable,
        "limitResponse": response,
    }
    return _level(name, {"type": "Limited", "limited": limited})


def mandatory_levels() -> list[Object]:
    exempt = {"nominalConcurrencyShares": 0, "lendablePercent": 0}
    return [
        _level(EXEMPT, {"type": "Exempt", "exempt": exempt}),
        _limited(CATCH_ALL, 5, 0, {"type": "Reject"}),
    ]


def suggested_levels() -> list[Object]:
    return [
        _queues("system", 30, 33, 64, 6),
        _queues("node-high", 40, 25, 64, 6),
        _queues("leader-election", 10, 0, 16, 4),
        _queues("workload-high", 40, 50, 128, 6),
        _queues("workload-low", 100, 90, 128, 6),
        _queues("global-default", 20, 50, 128, 6),
    ]


def mandatory_schemas() -> list[Object]:
    return [
        _everything(EXEMPT, EXEMPT, 1, "", _groups(_ADMINISTRATORS)),
        _everything(CATCH_ALL, CATCH_ALL, 10000, "ByUser", _everyone()),
    ]


def suggested_schemas() -> list[Object]:
    core_system = _users(_MANAGER, _SCHEDULER) + _system_accounts()
    probes = [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}]
    nodes = [
        _resources(["*"], "", ["nodes", "nodes/status"], cluster_scope=True),
        _resources(["*"], "coordination.k8s.io", ["leases"]),
    ]
    leases = [_resources(["get", "create", "update"], "coordination.k8s.io", ["leases"])]
    accounts = _groups(_SERVICE_ACCOUNTS)
    return [
        _everything("system-nodes", "system", 500, "ByUser", _groups(_NODES)),
        _schema("system-node-high", "node-high", 400, "ByUser", _groups(_NODES), {"resourceRules": nodes}),
        _schema("probes", EXEMPT, 2, "", _everyone(), {"nonResourceRules": probes}),
        _schema(
            "system-leader-election", "leader-election", 100, "ByUser", core_system, {"resourceRules": leases}
        ),
        _everything("kube-controller-manager", "workload-high", 800, "ByNamespace", _users(_MANAGER)),
        _everything("kube-scheduler", "workload-high", 800, "ByNamespace", _users(_SCHEDULER)),
        _everything("kube-system-service-accounts", "workload-high", 900, "ByNamespace", _system_accounts()),
        _everything("service-accounts", "workload-low", 9000, "ByUser", accounts),
        _everything("global-default", "global-default", 9900, "ByUser", _everyone()),
    ]


def _schema(
    name: str, level: str, precedence: int, method: str, subjects: Sequence[Object], rules: Object
) -> Object:
    spec: Object = {
        "priorityLevelConfiguration": {"name": level},
        "matchingPrecedence": precedence,
        "rules": [{"subjects": list(subjects), **rules}],
    }
    if method:
        spec["distinguisherMethod"] = {"type": method}
    metadata = {"name": name, "annotations": {AUTO_UPDATE: "true"}}
    return {"apiVersion": _API_VERSION, "kind": "FlowSchema", "metadata": metadata, "spec": spec}


def _everything(name: str, level: str, precedence: int, method: str, subjects: Sequence[Object]) -> Object:
    rules = {
        "resourceRules": [_resources(["*"], "*", ["*"], cluster_scope=True)],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    }
    return _schema(name, level, precedence, method, subjects, rules)


def _resources(verbs: list[str], group: str, resources: list[str], *, cluster_scope: bool = False) -> Object:
    rule: Object = {"verbs": verbs, "apiGroups": [group], "resources": resources, "namespaces": ["*"]}
    return {**rule, "clusterScope": True} if cluster_scope else rule


def _groups(*names: str) -> list[Object]:
    return [{"kind": "Group", "group": {"name": name}} for name in names]


def _users(*names: str) -> list[Object]:
    return [{"kind": "User", "user": {"name": name}} for name in names]


def _everyone() -> list[Object]:
    return _groups(_UNAUTHENTICATED, _AUTHENTICATED)


def _system_accounts() -> list[Object]:
    return [{"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": "*"}}]


def entropy_bits(deck_size: int, hand_size: int) -> int:
    """How many bits of hash it takes to deal a hand of queues."""
    bits = 0.0
    for dealt in range(hand_size):
        bits += math.log2(deck_size - dealt)
        if bits > MAX_ENTROPY_BITS:  # a hand of millions need not be counted to its end
            break
    return math.ceil(bits)
