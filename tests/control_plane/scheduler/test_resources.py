"""What a pod counts for on its node: PodRequests of k8s.io/component-helpers (KEP-753, KEP-1287, KEP-2837)."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.client.types import Obj
from control_plane.scheduler import slim
from control_plane.scheduler.framework.pod_info import pod_info
from control_plane.scheduler.framework.resources import pod_requests

MI = 1024 * 1024
DEFAULT = {"cpu": 100, "memory": 200 * MI}


def container(name: str, cpu: str = "", memory: str = "", **fields: Any) -> Obj:
    asked = {**({"cpu": cpu} if cpu else {}), **({"memory": memory} if memory else {})}
    return {"name": name, "resources": {"requests": asked}, **fields}


def sidecar(name: str, cpu: str = "", memory: str = "") -> Obj:
    return container(name, cpu, memory, restartPolicy="Always")


def state(name: str, has: Obj | None, promised: Obj | None = None) -> Obj:
    return {
        "name": name,
        **({"resources": {"requests": has}} if has is not None else {}),
        **({"allocatedResources": promised} if promised is not None else {}),
    }


def a_pod(*containers: Obj, init: tuple[Obj, ...] = (), status: Obj | None = None, **spec: Any) -> Obj:
    return {
        "metadata": {"name": "p", "namespace": "default", "uid": "u"},
        "spec": {"containers": list(containers), "initContainers": list(init), **spec},
        "status": status or {},
    }


INFEASIBLE = {"type": "PodResizePending", "status": "True", "reason": "Infeasible"}
DEFERRED = {**INFEASIBLE, "reason": "Deferred"}


@pytest.mark.parametrize(
    ("obj", "cpu"),
    [
        pytest.param(a_pod(container("a", "1"), container("b", "2")), 3000, id="the sum"),
        pytest.param(
            a_pod(container("a", "1"), init=(container("i", "3"), container("j", "2"))),
            3000,
            id="largest init",
        ),
        pytest.param(
            a_pod(container("a", "1"), init=(sidecar("s", "2"), container("i", "3"))),
            5000,
            id="an init container beside the sidecars before it",
        ),
        pytest.param(
            a_pod(container("a", "1"), init=(container("i", "3"), sidecar("s", "2"))),
            3000,
            id="not beside those after it",
        ),
        pytest.param(
            a_pod(container("a", "4"), init=(sidecar("s", "2"), sidecar("t", "1"))),
            7000,
            id="sidecars run on",
        ),
        pytest.param(
            a_pod(container("a", "1"), init=(sidecar("s", "1"), container("i", "9"), sidecar("t", "1"))),
            10000,
            id="the peak is while the pod starts",
        ),
        pytest.param(a_pod(container("a", "1"), overhead={"cpu": "500m"}), 1500, id="overhead"),
        pytest.param(
            a_pod(container("a", "1"), resources={"requests": {"cpu": "2"}}, overhead={"cpu": "1"}),
            3000,
            id="of the pod as a whole, and overhead",
        ),
        pytest.param(
            a_pod(container("a", "3"), resources={"requests": {"memory": "1"}}),
            3000,
            id="the pod as a whole asks for something else",
        ),
        pytest.param(
            a_pod(
                container("a", "1"), status={"containerStatuses": [state("a", {"cpu": "2"}, {"cpu": "1"})]}
            ),
            2000,
            id="being shrunk: what it has",
        ),
        pytest.param(
            a_pod(
                container("a", "3"), status={"containerStatuses": [state("a", {"cpu": "1"}, {"cpu": "1"})]}
            ),
            3000,
            id="being grown: what it asks for",
        ),
        pytest.param(
            a_pod(
                container("a", "3"), status={"containerStatuses": [state("a", {"cpu": "1"}, {"cpu": "4"})]}
            ),
            4000,
            id="what it was promised",
        ),
        pytest.param(
            a_pod(container("a", "3"), status={"containerStatuses": [state("a", None, {"cpu": "4"})]}),
            3000,
            id="a node that does not say what it has",
        ),
        pytest.param(
            a_pod(
                container("a", "9"),
                status={
                    "containerStatuses": [state("a", {"cpu": "1"}, {"cpu": "2"})],
                    "conditions": [INFEASIBLE],
                },
            ),
            2000,
            id="infeasible: what it asks for does not count",
        ),
        pytest.param(
            a_pod(
                container("a", "9"),
                status={
                    "containerStatuses": [state("a", {"cpu": "1"}, {"cpu": "2"})],
                    "conditions": [DEFERRED],
                },
            ),
            9000,
            id="deferred: it counts",
        ),
        pytest.param(
            a_pod(
                container("a", "1"),
                init=(sidecar("s", "1"),),
                status={"initContainerStatuses": [state("s", {"cpu": "3"})]},
            ),
            4000,
            id="a sidecar being resized",
        ),
        pytest.param(
            a_pod(
                container("a", "1"),
                init=(container("i", "2"),),
                status={"initContainerStatuses": [state("i", {"cpu": "3"})]},
            ),
            2000,
            id="other init containers are not resized",
        ),
        pytest.param(
            a_pod(
                container("a", "1"),
                resources={"requests": {"cpu": "2"}},
                status={"resources": {"requests": {"cpu": "3"}}, "allocatedResources": {"cpu": "4"}},
            ),
            4000,
            id="the pod as a whole being resized",
        ),
        pytest.param(
            a_pod(
                container("a", "1"),
                resources={"requests": {"cpu": "9"}},
                status={"resources": {"requests": {"cpu": "3"}}, "conditions": [INFEASIBLE]},
            ),
            3000,
            id="the pod as a whole, infeasible",
        ),
    ],
)
def test_requests(obj: Obj, cpu: int) -> None:
    assert pod_requests(obj)["cpu"] == cpu
    assert (
        pod_info(slim.pod(obj)).requests.milli_cpu == cpu
    )  # nothing that counts is left out of what is kept


def test_only_some_resources_are_asked_for_by_the_pod_as_a_whole() -> None:
    asked = {"cpu": "2", "hugepages-2Mi": "4Mi", "example.com/gpu": "3", "ephemeral-storage": "1"}
    obj = a_pod(container("a", "1"), resources={"requests": asked})
    assert pod_requests(obj) == {"cpu": 2000, "hugepages-2Mi": 4 * MI}


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        pytest.param(a_pod(container("a")), DEFAULT, id="one container"),
        pytest.param(a_pod(container("a"), container("b")), {"cpu": 200, "memory": 400 * MI}, id="two"),
        pytest.param(a_pod(container("a", "0", "0")), {"cpu": 0, "memory": 0}, id="zero is an answer"),
        pytest.param(
            a_pod(container("a", "1")), {"cpu": 1000, "memory": 200 * MI}, id="only one is asked for"
        ),
        pytest.param(
            a_pod(container("a"), init=(container("i", "2"),)),
            {"cpu": 2000, "memory": 200 * MI},
            id="with init",
        ),
        pytest.param(
            a_pod(container("a"), container("b"), resources={"requests": {"cpu": "1"}}),
            {"cpu": 1000, "memory": 400 * MI},
            id="the pod as a whole asks for one",
        ),
        pytest.param(
            a_pod(container("a", "", "10"), container("b"), resources={"requests": {"cpu": "1"}}),
            {"cpu": 1000, "memory": 10},
            id="... and one of its containers for the other",
        ),
    ],
)
def test_defaults_for_scores(obj: Obj, expected: dict[str, int]) -> None:
    assert pod_requests(obj, non_zero=True) == expected
    info = pod_info(obj)
    assert {"cpu": info.non_zero_cpu, "memory": info.non_zero_memory} == expected
