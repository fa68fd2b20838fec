"""Priority and fairness as clients see it: headers, statuses, refusals, metrics, dumps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.control_plane.apiserver.harness import Answer, Harness

GROUP = "/apis/flowcontrol.apiserver.k8s.io/v1"
LEVELS, SCHEMAS = f"{GROUP}/prioritylevelconfigurations", f"{GROUP}/flowschemas"
LEVEL_HEADER, SCHEMA_HEADER = "x-kubernetes-pf-prioritylevel-uid", "x-kubernetes-pf-flowschema-uid"
DEADLINE_S = 10.0


def until(condition: Callable[[], Any]) -> Any:
    ends = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < ends, "in vain"
        time.sleep(0.02)
    return found


def impersonated(api: Harness, user: str, path: str = "/version", **more: Any) -> Answer:
    headers = {"Impersonate-User": user, "Impersonate-Group": "system:authenticated"}
    return api.request("GET", path, headers=headers, **more)


def level(name: str, shares: int, response: dict[str, Any]) -> dict[str, Any]:
    limited = {"nominalConcurrencyShares": shares, "limitResponse": response}
    return {"metadata": {"name": name}, "spec": {"type": "Limited", "limited": limited}}


def schema(name: str, level_name: str, *users: str) -> dict[str, Any]:
    rule = {
        "subjects": [{"kind": "User", "user": {"name": user}} for user in users],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        "resourceRules": [
            {
                "verbs": ["*"],
                "apiGroups": ["*"],
                "resources": ["*"],
                "namespaces": ["*"],
                "clusterScope": True,
            }
        ],
    }
    spec = {
        "priorityLevelConfiguration": {"name": level_name},
        "matchingPrecedence": 1000,
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [rule],
    }
    return {"metadata": {"name": name}, "spec": spec}


def dangling(api: Harness, name: str) -> str:
    conditions = (api.get(f"{SCHEMAS}/{name}").get("status") or {}).get("conditions") or []
    return next((each["status"] for each in conditions if each["type"] == "Dangling"), "")


def metric(api: Harness, name: str, *labels: str) -> float | None:
    for line in api.request("GET", "/metrics").raw.decode().splitlines():
        if line.startswith(name + "{") and all(label in line for label in labels):
            return float(line.rpartition(" ")[2])
    return None


def test_requests_are_classified_by_what_was_added(api: Harness) -> None:
    made_level = api.create(LEVELS, level("noxu-level", 1, {"type": "Reject"}))
    made_schema = api.create(SCHEMAS, schema("noxu-schema", "noxu-level", "noxu"))
    until(lambda: dangling(api, "noxu-schema") == "False")
    assert metric(api, "apiserver_flowcontrol_nominal_limit_seats", 'priority_level="noxu-level"')
    answer = impersonated(api, "noxu")
    assert answer.headers[LEVEL_HEADER] == made_level["metadata"]["uid"]
    assert answer.headers[SCHEMA_HEADER] == made_schema["metadata"]["uid"]
    other = impersonated(api, "foo")
    assert other.headers[SCHEMA_HEADER] == api.get(f"{SCHEMAS}/global-default")["metadata"]["uid"]
    assert metric(api, "apiserver_flowcontrol_dispatched_requests_total", 'flow_schema="noxu-schema"') == 1
    refused = impersonated(api, "noxu", "/api/v1/nodes")
    assert (refused.status, LEVEL_HEADER in refused.headers) == (403, True)
    api.request("DELETE", f"{LEVELS}/noxu-level")
    until(lambda: dangling(api, "noxu-schema") == "True")
    assert impersonated(api, "noxu").headers[SCHEMA_HEADER] == other.headers[SCHEMA_HEADER]
    api.request("DELETE", f"{SCHEMAS}/noxu-schema")


def test_what_is_there_from_the_start(api: Harness) -> None:
    done = api.kubectl("get", "flowschemas", "--sort-by=.metadata.name", "--no-headers").stdout
    assert {line.split()[0]: line.split()[1:4] for line in done.splitlines()} == {
        "catch-all": ["catch-all", "10000", "ByUser"],
        "exempt": ["exempt", "1", "<none>"],
        "global-default": ["global-default", "9900", "ByUser"],
        "kube-controller-manager": ["workload-high", "800", "ByNamespace"],
        "kube-scheduler": ["workload-high", "800", "ByNamespace"],
        "kube-system-service-accounts": ["workload-high", "900", "ByNamespace"],
        "probes": ["exempt", "2", "<none>"],
        "service-accounts": ["workload-low", "9000", "ByUser"],
        "system-leader-election": ["leader-election", "100", "ByUser"],
        "system-node-high": ["node-high", "400", "ByUser"],
        "system-nodes": ["system", "500", "ByUser"],
    }
    names = api.kubectl("get", "prioritylevelconfigurations", "-o", "name").stdout.split()
    assert len(names) == 8


def test_a_watch_takes_a_seat_only_until_it_has_begun(api: Harness, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    made = api.create(path, {"metadata": {"name": "a"}})
    executing = ("apiserver_flowcontrol_current_executing_requests", 'flow_schema="exempt"')
    with closing(api.connection()) as connection:
        connection.request("GET", path + "?watch=true&resourceVersion=0")
        assert made["metadata"]["uid"].encode() in connection.getresponse().readline()
        assert metric(api, *executing) == 1, "only the reading of the metrics"


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """A server with few seats."""
    directory: Path = tmp_path_factory.mktemp("narrow")
    flags = ("--max-requests-inflight=10", "--max-mutating-requests-inflight=10")
    with Harness(directory, *flags) as harness:
        binding = {
            "metadata": {"name": "users"},
            "subjects": [
                {"kind": "User", "name": name, "apiGroup": "rbac.authorization.k8s.io"}
                for name in ("refused", "queued-a", "queued-b")
            ],
            "roleRef": {
                "kind": "ClusterRole",
                "name": "cluster-admin",
                "apiGroup": "rbac.authorization.k8s.io",
            },
        }
        harness.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
        queuing = {"queues": 4, "handSize": 2, "queueLengthLimit": 5}
        for name, response in (
            ("refusing", {"type": "Reject"}),
            ("queueing", {"type": "Queue", "queuing": queuing}),
        ):
            config = level(name, 1, response)
            config["spec"]["limited"]["borrowingLimitPercent"] = 0
            harness.create(LEVELS, config)
        harness.create(SCHEMAS, schema("refusing", "refusing", "refused"))
        harness.create(SCHEMAS, schema("queueing", "queueing", "queued-a", "queued-b"))
        until(lambda: dangling(harness, "queueing") == dangling(harness, "refusing") == "False")
        yield harness


def create_as(api: Harness, user: str, name: str) -> Answer:
    headers = {"Impersonate-User": user, "Content-Type": "application/json"}
    path = "/api/v1/namespaces/default/configmaps"
    return api.request("POST", path, {"metadata": {"name": name}}, headers=headers)


def test_who_finds_no_seat_is_told_when_to_come_again(narrow: Harness) -> None:
    narrow.pause_store()
    try:
        with ThreadPoolExecutor(4) as pool:
            first = pool.submit(create_as, narrow, "refused", "first")
            until(lambda: "refusing" in executing(narrow))
            second = create_as(narrow, "refused", "second")
            narrow.resume_store()
            assert first.result().status == 201
    finally:
        narrow.resume_store()
    assert (second.status, second.body["reason"]) == (429, "TooManyRequests")
    assert int(second.headers["retry-after"]) >= 1
    assert second.headers[SCHEMA_HEADER] == narrow.get(f"{SCHEMAS}/refusing")["metadata"]["uid"]
    rejected = ("apiserver_flowcontrol_rejected_requests_total", 'reason="concurrency-limit"')
    assert metric(narrow, *rejected, 'flow_schema="refusing"') == 1
    assert narrow.request("GET", "/api/v1/namespaces/default/configmaps/second").status == 404


def test_who_finds_no_seat_waits_in_a_queue(narrow: Harness) -> None:
    narrow.pause_store()
    try:
        with ThreadPoolExecutor(8) as pool:
            asked = [
                pool.submit(create_as, narrow, f"queued-{each}", f"{each}-{n}")
                for each in "ab"
                for n in (1, 2)
            ]
            until(lambda: "WaitingRequests" in dump(narrow, "dump_priority_levels") and waiting(narrow) == 3)
            details = dump(narrow, "dump_requests?includeRequestDetails=1")
            assert details.count("/api/v1/namespaces/default/configmaps") == 4
            assert len([line for line in dump(narrow, "dump_queues").splitlines() if "queueing" in line]) == 4
            narrow.resume_store()
            assert [each.result().status for each in asked] == [201] * 4
    finally:
        narrow.resume_store()
    assert waiting(narrow) == 0


def dump(api: Harness, name: str) -> str:
    answer = api.request("GET", f"/debug/api_priority_and_fairness/{name}")
    assert answer.status == 200
    return answer.raw.decode()


def rows(api: Harness) -> dict[str, list[str]]:
    found = [
        [cell.strip() for cell in line.split(",")] for line in dump(api, "dump_priority_levels").splitlines()
    ]
    return {row[0]: row for row in found}


def waiting(api: Harness) -> int:
    return int(rows(api)["queueing"][4])


def executing(api: Harness) -> set[str]:
    return {name for name, row in rows(api).items() if row[5] not in ("0", "ExecutingRequests")}


def test_without_fairness_there_are_two_limits(tmp_path: Path) -> None:
    flags = ("--enable-priority-and-fairness=false", "--max-mutating-requests-inflight=0")
    with Harness(tmp_path, *flags) as api:
        answer = api.request("GET", "/api/v1/namespaces")
        assert answer.status == 200
        assert LEVEL_HEADER not in answer.headers
        refused = api.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectreviews", {}, user="jane")
        assert refused.status == 429
