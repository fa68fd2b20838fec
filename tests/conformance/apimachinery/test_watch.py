"""test/e2e/apimachinery/watch.go"""

from __future__ import annotations

import threading
from typing import Any

from tests.conformance.client import Client

Object = dict[str, Any]
LABEL = "watch-this-configmap"


def config_map(name: str, label: str) -> Object:
    return {"metadata": {"name": name, "labels": {LABEL: label}}}


def mutate(number: int) -> Any:
    def edit(obj: Object) -> None:
        obj.setdefault("data", {})["mutation"] = str(number)

    return edit


def test_add_update_delete(client: Client, namespace: str) -> None:
    """[sig-api-machinery] Watchers should observe add, update, and delete watch notifications on configmaps"""
    of = client.of("v1", "configmaps", "ConfigMap", namespace)
    either = f"{LABEL} in (multiple-watchers-A,multiple-watchers-B)"
    with (
        of.watch(labelSelector=f"{LABEL}=multiple-watchers-A") as a,
        of.watch(labelSelector=f"{LABEL}=multiple-watchers-B") as b,
        of.watch(labelSelector=either) as both,
    ):
        of.create(config_map("a", "multiple-watchers-A"))
        of.change("a", mutate(1))
        of.change("a", mutate(2))
        of.delete("a")
        of.create(config_map("b", "multiple-watchers-B"))
        of.delete("b")
        for events in (a, both):
            events.until("ADDED")
            events.until("MODIFIED", lambda obj: obj["data"]["mutation"] == "1")
            events.until("MODIFIED", lambda obj: obj["data"]["mutation"] == "2")
            events.until("DELETED")
        for events in (b, both):
            events.until("ADDED")
            events.until("DELETED")
        assert a.seen == [("ADDED", "a"), ("MODIFIED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
        assert b.seen == [("ADDED", "b"), ("DELETED", "b")]
        assert both.seen == a.seen + b.seen


def test_from_a_version(client: Client, namespace: str) -> None:
    """[sig-api-machinery] Watchers should be able to start watching from a specific resource version"""
    of = client.of("v1", "configmaps", "ConfigMap", namespace)
    of.create(config_map("c", "from-resource-version"))
    first = of.change("c", mutate(1))
    of.change("c", mutate(2))
    of.delete("c")
    selector = f"{LABEL}=from-resource-version"
    with of.watch(labelSelector=selector, resourceVersion=first["metadata"]["resourceVersion"]) as events:
        events.until("DELETED")
        assert events.seen == [("MODIFIED", "c"), ("DELETED", "c")]


def test_restart(client: Client, namespace: str) -> None:
    """[sig-api-machinery] Watchers should be able to restart watching from the last resource version observed by
    the previous watch"""
    of = client.of("v1", "configmaps", "ConfigMap", namespace)
    selector = f"{LABEL}=watch-closed-and-restarted"
    with of.watch(labelSelector=selector) as events:
        of.create(config_map("c", "watch-closed-and-restarted"))
        of.change("c", mutate(1))
        events.until("ADDED")
        last = events.until("MODIFIED")
    of.change("c", mutate(2))
    of.delete("c")
    with of.watch(labelSelector=selector, resourceVersion=last["metadata"]["resourceVersion"]) as events:
        assert events.until("MODIFIED")["data"]["mutation"] == "2"
        events.until("DELETED")


def test_out_of_the_selector_and_back(client: Client, namespace: str) -> None:
    """[sig-api-machinery] Watchers should observe an object deletion if it stops meeting the requirements of the
    selector"""
    of = client.of("v1", "configmaps", "ConfigMap", namespace)
    with of.watch(labelSelector=f"{LABEL}=label-changed-and-restored") as events:

        def label(value: str) -> Any:
            def edit(obj: Object) -> None:
                obj["metadata"]["labels"][LABEL] = value

            return edit

        of.create(config_map("c", "label-changed-and-restored"))
        of.change("c", mutate(1))
        of.change("c", label("wrong-value"))
        of.change("c", mutate(2))
        of.change("c", label("label-changed-and-restored"))
        of.change("c", mutate(3))
        of.delete("c")
        events.until("ADDED")
        events.until("MODIFIED")
        gone = events.until("DELETED")
        back = events.until("ADDED")
        assert int(back["metadata"]["resourceVersion"]) > int(gone["metadata"]["resourceVersion"])
        events.until("MODIFIED", lambda obj: obj["data"]["mutation"] == "3")
        events.until("DELETED")


def test_concurrent_watches_see_one_order(client: Client, namespace: str) -> None:
    """[sig-api-machinery] Watchers should receive events on concurrent watches in same order"""
    of = client.of("v1", "configmaps", "ConfigMap", namespace)
    writes = 60
    start = of.listed()["metadata"]["resourceVersion"]

    def write() -> None:
        names: list[str] = []
        for number in range(writes):
            if number % 3 == 0 or not names:
                names.append(f"cm-{number}")
                of.create({"metadata": {"name": names[-1]}})
            elif number % 3 == 1:
                of.change(names[-1], mutate(number))
            else:
                of.delete(names.pop(0))

    def versions(since: str, count: int) -> list[str]:
        found: list[str] = []
        with of.watch(resourceVersion=since) as events:
            while len(found) < count:
                kind, obj = next(events._events)
                assert kind in ("ADDED", "MODIFIED", "DELETED"), obj
                found.append(obj["metadata"]["resourceVersion"])
        return found

    writer = threading.Thread(target=write)
    writer.start()
    seen = versions(start, writes)
    writer.join()
    assert seen == sorted(seen, key=int)
    for index in range(0, writes - 1, 7):
        assert versions(seen[index], writes - index - 1) == seen[index + 1 :]
