"""What an apiserver does at its ends: start, stop, restart, a store that goes away, two replicas of one cluster."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.control_plane.apiserver.harness import STOP_TIMEOUT_S, Harness, stop

PATH = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Harness]:
    """An apiserver that the test may stop."""
    with Harness(tmp_path) as harness:
        yield harness


def restart(api: Harness) -> None:
    assert api.api_process is not None
    assert stop(api.api_process) == 0
    api.start_api()
    api.wait_ready()


def test_everything_is_there_after_a_restart(own: Harness) -> None:
    made = own.create(PATH, {"metadata": {"name": "a"}})
    own.create(PATH, {"metadata": {"name": "b"}})
    restart(own)
    assert own.get(PATH + "/a") == made
    since = PATH + f"?watch=true&timeoutSeconds=1&resourceVersion={made['metadata']['resourceVersion']}"
    answer = own.request("GET", since)
    events = [json.loads(line) for line in answer.raw.splitlines()]
    assert [(each["type"], each["object"]["metadata"]["name"]) for each in events] == [("ADDED", "b")]
    own.compact(int(own.get(PATH)["metadata"]["resourceVersion"]))
    restart(own)
    event = json.loads(own.request("GET", since).raw)
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
    assert event["object"]["message"].startswith("too old resource version: ")


def test_a_stop_ends_watches_cleanly(own: Harness) -> None:
    assert own.api_process is not None
    with closing(own.connection()) as connection:
        connection.request("GET", PATH + "?watch=true")
        response = connection.getresponse()
        own.api_process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert response.read() == b"", "a complete, empty stream and no reset"
    assert own.api_process.wait(STOP_TIMEOUT_S) == 0
    assert time.monotonic() - began < 5


def test_compaction_leaves_a_410_with_a_way_on(own: Harness) -> None:
    for name in ("a", "b", "c"):
        own.create(PATH, {"metadata": {"name": name}})
    first = own.get(PATH + "?limit=1")
    own.create(PATH, {"metadata": {"name": "d"}})
    own.compact(int(own.get(PATH)["metadata"]["resourceVersion"]))
    answer = own.request("GET", f"{PATH}?limit=2&continue={first['metadata']['continue']}")
    assert (answer.status, answer.body["reason"]) == (410, "Expired")
    rest = own.get(f"{PATH}?continue={answer.body['metadata']['continue']}")
    assert [item["metadata"]["name"] for item in rest["items"]][:3] == ["b", "c", "d"]
    exact = own.request("GET", f"{PATH}?resourceVersion=2&resourceVersionMatch=Exact")
    assert exact.body["message"] == "The resourceVersion for the provided list is too old."


def test_without_the_store_requests_fail_and_then_go_on(own: Harness) -> None:
    own.create(PATH, {"metadata": {"name": "a"}})
    own.pause_store()
    try:
        answer = own.request("POST", PATH, {"metadata": {"name": "b"}})
        assert answer.status in (500, 503, 504)
        assert answer.body["kind"] == "Status"
        assert own.request("GET", PATH + "?resourceVersion=0").status == 200
    finally:
        own.resume_store()
    deadline = time.monotonic() + 20
    while own.request("GET", PATH).status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_two_replicas_agree(own: Harness, tmp_path: Path) -> None:
    with Harness(own.directory, endpoints=own.endpoints, certificates=False) as other:
        for index in range(10):
            own.create(PATH, {"metadata": {"name": f"x{index}"}})
            assert other.request("GET", f"{PATH}/x{index}").status == 200, "a get is consistent"
        listing = other.get(PATH)
        assert len([each for each in listing["items"] if each["metadata"]["name"].startswith("x")]) == 10

        def service(index: int) -> tuple[str, int]:
            replica = own if index % 2 else other
            spec = {"ports": [{"port": 80}], "type": "NodePort"}
            path = "/api/v1/namespaces/default/services"
            made = replica.create(path, {"metadata": {"name": f"s{index}"}, "spec": spec})["spec"]
            return made["clusterIP"], made["ports"][0]["nodePort"]

        with ThreadPoolExecutor(8) as pool:
            allocated = list(pool.map(service, range(100)))
        assert len({address for address, _ in allocated}) == 100
        assert len({port for _, port in allocated}) == 100
