"""From two answers of a node agent to what kubectl top shows."""

from __future__ import annotations

from typing import Any

from control_plane.apiserver import metrics_api
from control_plane.apiserver.node_usage import PodUsage, Usage, read, usage

S = 1_000_000_000


def source(cpu_s: float, memory: int = 2048) -> dict[str, Any]:
    return {"cpu": {"usageCoreNanoSeconds": int(cpu_s * S)}, "memory": {"workingSetBytes": memory}}


def summary(node_cpu_s: float, **pods: dict[str, float]) -> dict[str, Any]:
    return {
        "node": source(node_cpu_s),
        "pods": [
            {
                "podRef": {"uid": f"uid-{name}", "namespace": "default", "name": name},
                "containers": [{"name": each, **source(cpu_s)} for each, cpu_s in containers.items()],
            }
            for name, containers in pods.items()
        ],
    }


def test_rates_are_differences_and_what_is_new_is_left_out() -> None:
    before = read(summary(100, old={"a": 10, "b": 20}, grown={"a": 1}), 50.0)
    after = read(summary(101, old={"a": 11, "b": 20.5}, grown={"a": 2, "new": 3}, fresh={"a": 1}), 52.0)
    found = usage(before, after)
    assert (found.node, found.window_s) == (Usage(S // 2, 2048), 2.0)
    assert found.pods == [PodUsage("default", "old", {"a": Usage(S // 2, 2048), "b": Usage(S // 4, 2048)})]


def test_a_restarted_container_uses_nothing_negative() -> None:
    found = usage(read(summary(1, p={"a": 10}), 0.0), read(summary(2, p={"a": 1}), 1.0))
    assert found.pods[0].containers == {"a": Usage(0, 2048)}


def test_the_shape_that_clients_read() -> None:
    found = usage(read(summary(1, p={"a": 1}), 0.0), read(summary(2, p={"a": 2}), 15.0))
    pod = {"metadata": {"name": "p", "namespace": "default", "labels": {"app": "x"}}}
    shown = metrics_api.pod_metrics(pod, found.pods[0], found, 1_700_000_000.0)
    assert shown["containers"] == [{"name": "a", "usage": {"cpu": "66666666n", "memory": "2Ki"}}]
    assert (shown["timestamp"], shown["window"]) == ("2023-11-14T22:13:35Z", "15.000s")
    assert shown["metadata"]["labels"] == {"app": "x"}
