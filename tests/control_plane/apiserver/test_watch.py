"""Watches over HTTP: where they start, what they show, how they end."""

from __future__ import annotations

import json
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from tests.control_plane.apiserver.harness import Harness

Object = dict[str, Any]
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json"


class Watch:
    """Reads a stream of events; the server ends it after `timeoutSeconds`."""

    def __init__(self, response: Any) -> None:
        self.response = response

    def next(self) -> Object:
        line = self.response.readline()
        assert line, "the watch has ended"
        return json.loads(line)

    def take(self, count: int) -> list[tuple[str, str]]:
        return [shown(self.next()) for _ in range(count)]

    def rest(self) -> list[Object]:
        return [json.loads(line) for line in self.response.read().splitlines()]


def shown(event: Object) -> tuple[str, str]:
    return event["type"], event["object"]["metadata"].get("name", "")


@contextmanager
def watching(api: Harness, path: str, query: str = "", accept: str = "application/json") -> Iterator[Watch]:
    with closing(api.connection(timeout_s=15)) as connection:
        connection.request("GET", f"{path}?watch=true&timeoutSeconds=10&{query}", headers={"Accept": accept})
        response = connection.getresponse()
        assert response.status == 200
        yield Watch(response)


@pytest.fixture
def path(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def put(api: Harness, path: str, name: str, **metadata: Any) -> Object:
    return api.create(path, {"metadata": {"name": name, **metadata}})


def relabel(api: Harness, path: str, name: str, **labels: str | None) -> Object:
    headers = {"Content-Type": "application/merge-patch+json"}
    return api.request("PATCH", f"{path}/{name}", {"metadata": {"labels": labels}}, headers).body


def test_without_a_version_the_state_comes_first(api: Harness, path: str) -> None:
    put(api, path, "a")
    with watching(api, path) as watch:
        assert watch.take(1) == [("ADDED", "a")]
        put(api, path, "b")
        relabel(api, path, "a", x="y")
        api.request("DELETE", f"{path}/b")
        assert watch.take(3) == [("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")]


def test_from_a_version_only_what_came_after(api: Harness, path: str) -> None:
    put(api, path, "a")
    revision = api.get(path)["metadata"]["resourceVersion"]
    put(api, path, "b")
    with watching(api, path, f"resourceVersion={revision}") as watch:
        assert watch.take(1) == [("ADDED", "b")]


def test_a_deleted_object_carries_the_revision_of_its_end(api: Harness, path: str) -> None:
    made = put(api, path, "a")
    with watching(api, path, f"resourceVersion={made['metadata']['resourceVersion']}") as watch:
        api.request("DELETE", f"{path}/a")
        event = watch.next()
    assert event["type"] == "DELETED"
    assert event["object"]["metadata"]["uid"] == made["metadata"]["uid"]
    assert int(event["object"]["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])


def test_a_selector_turns_changes_into_comings_and_goings(api: Harness, path: str) -> None:
    put(api, path, "a")
    revision = api.get(path)["metadata"]["resourceVersion"]
    with watching(api, path, f"resourceVersion={revision}&labelSelector=x%3Dy") as watch:
        relabel(api, path, "a", x="y")
        relabel(api, path, "a", z="z")
        gone = relabel(api, path, "a", x="n")
        events = [watch.next() for _ in range(3)]
    assert [shown(event) for event in events] == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    last = events[-1]["object"]["metadata"]
    assert last["labels"]["x"] == "y", "the last state that was selected"
    assert last["resourceVersion"] == gone["metadata"]["resourceVersion"]


def test_one_object_by_its_name(api: Harness, path: str) -> None:
    put(api, path, "a")
    put(api, path, "ab")
    with watching(api, path, "fieldSelector=metadata.name%3Da") as watch:
        assert watch.take(1) == [("ADDED", "a")]
        relabel(api, path, "ab", x="y")
        relabel(api, path, "a", x="y")
        assert watch.take(1) == [("MODIFIED", "a")]


def test_initial_events_end_with_a_bookmark(api: Harness, path: str) -> None:
    put(api, path, "a")
    query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    with watching(api, path, query) as watch:
        assert watch.take(1) == [("ADDED", "a")]
        bookmark = watch.next()
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["kind"] == "ConfigMap"
    metadata = bookmark["object"]["metadata"]
    assert metadata["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert int(metadata["resourceVersion"]) > 0


def test_a_bookmark_comes_before_the_end(api: Harness, path: str) -> None:
    revision = put(api, path, "a")["metadata"]["resourceVersion"]
    query = f"resourceVersion={revision}&allowWatchBookmarks=true"
    with closing(api.connection()) as connection:
        connection.request("GET", f"{path}?watch=true&timeoutSeconds=3&{query}")
        put(api, path.replace("configmaps", "secrets"), "elsewhere")
        events = Watch(connection.getresponse()).rest()
    assert [event["type"] for event in events] == ["BOOKMARK"]
    assert int(events[0]["object"]["metadata"]["resourceVersion"]) > int(revision)


def test_a_watch_ends_at_its_timeout(api: Harness, path: str) -> None:
    began = time.monotonic()
    with closing(api.connection()) as connection:
        connection.request("GET", f"{path}?watch=true&timeoutSeconds=1")
        assert connection.getresponse().read() == b""
    assert 0.8 < time.monotonic() - began < 3


def test_a_version_of_the_future_is_waited_for(api: Harness, path: str) -> None:
    revision = int(put(api, path, "a")["metadata"]["resourceVersion"])
    with watching(api, path, f"resourceVersion={revision + 1}") as watch:
        put(api, path, "b")  # revision + 1: known to the client already
        put(api, path, "c")
        assert watch.take(1) == [("ADDED", "c")]


def test_a_table_watch_sends_its_columns_once(api: Harness, path: str) -> None:
    put(api, path, "a")
    with watching(api, path, accept=TABLE) as watch:
        first = watch.next()
        relabel(api, path, "a", x="y")
        second = watch.next()
    assert first["object"]["kind"] == second["object"]["kind"] == "Table"
    assert first["object"]["columnDefinitions"]
    assert not second["object"]["columnDefinitions"]
    assert second["object"]["rows"][0]["cells"][0] == "a"


def test_a_partial_watch(api: Harness, path: str) -> None:
    put(api, path, "a")
    with watching(api, path, accept=PARTIAL) as watch:
        event = watch.next()
    assert event["object"]["kind"] == "PartialObjectMetadata"
    assert set(event["object"]) == {"kind", "apiVersion", "metadata"}


def test_a_protobuf_watch_is_framed(api: Harness, path: str) -> None:
    put(api, path, "a")
    accept = "application/vnd.kubernetes.protobuf;stream=watch"
    with watching(api, path, accept=accept) as watch:
        assert watch.response.headers["Content-Type"] == "application/vnd.kubernetes.protobuf;stream=watch"
        (length,) = struct.unpack(">I", watch.response.read(4))
        frame = watch.response.read(length)
    assert b"ADDED" in frame
    assert b"k8s\x00" in frame


def test_the_deprecated_watch_prefix(api: Harness, path: str, namespace: str) -> None:
    put(api, path, "a")
    with closing(api.connection()) as connection:
        connection.request("GET", f"/api/v1/watch/namespaces/{namespace}/configmaps?timeoutSeconds=1")
        events = Watch(connection.getresponse()).rest()
    assert [shown(event) for event in events] == [("ADDED", "a")]


@pytest.mark.parametrize(
    "query",
    ["sendInitialEvents=true", "resourceVersionMatch=NotOlderThan", "labelSelector=%3D%3D"],
)
def test_bad_options(api: Harness, path: str, query: str) -> None:
    assert api.request("GET", f"{path}?watch=true&{query}").status in (400, 422)


def test_many_watchers_see_every_change_once_and_in_order(api: Harness, path: str) -> None:
    watchers, changes = 20, 60
    revision = put(api, path, "first")["metadata"]["resourceVersion"]
    seen: list[list[tuple[str, str]]] = [[] for _ in range(watchers)]

    def follow(mine: list[tuple[str, str]]) -> None:
        with watching(api, path, f"resourceVersion={revision}") as watch:
            mine.extend(watch.take(changes))

    threads = [threading.Thread(target=follow, args=(mine,)) for mine in seen]
    for thread in threads:
        thread.start()
    with closing(api.connection()) as connection:
        for index in range(changes):
            body = json.dumps({"metadata": {"name": f"c{index}"}})
            connection.request("POST", path, body)
            assert connection.getresponse().read()
    for thread in threads:
        thread.join(20)
    expected = [("ADDED", f"c{index}") for index in range(changes)]
    assert all(mine == expected for mine in seen)
