"""What a pod asks for as a whole, and its resize in place: what is filled in, what is refused, in which words."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from control_plane.api.strategy import strategy_for
from control_plane.api.validation import validate_create, validate_update
from tests.control_plane.api.samples import pod, stored

Object = dict[str, Any]

CPU, BOTH = {"cpu": "1"}, {"cpu": "1", "memory": "1Gi"}
HUGE = "hugepages-2Mi"


def box(name: str = "c", requests: Object | None = None, limits: Object | None = None, **more: Any) -> Object:
    amounts = {key: value for key, value in (("requests", requests), ("limits", limits)) if value}
    return {"name": name, "image": "nginx", "resources": amounts, **more}


def whole(*containers: Object, init: list[Object] | None = None, **resources: Any) -> Object:
    more: Object = {"initContainers": init} if init else {}
    return pod(containers=list(containers or (box(),)), resources=resources, **more)


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (whole(limits=BOTH), {"limits": BOTH, "requests": BOTH}),
        (whole(requests=CPU), {"requests": CPU}),
        (whole(limits=BOTH, requests=CPU), {"limits": BOTH, "requests": {"cpu": "1", "memory": "1Gi"}}),
        (
            whole(box("a", {"cpu": "100m"}), box("b", {"cpu": "200m"}), limits=BOTH),
            {"limits": BOTH, "requests": {"cpu": "300m", "memory": "1Gi"}},
        ),
        (
            whole(box("a", {"cpu": "100m"}), init=[box("i", {"cpu": "500m"})], limits=CPU),
            {"limits": CPU, "requests": {"cpu": "500m"}},
        ),
        (whole(box("a", {"memory": "1Mi"}), requests=CPU), {"requests": CPU}),
        (
            whole(box("a", limits={"cpu": "1", HUGE: "4Mi"}), requests={"cpu": "2"}),
            {"limits": {HUGE: "4Mi"}, "requests": {"cpu": "2", HUGE: "4Mi"}},
        ),
        (whole(box("a", {"cpu": "1", "ephemeral-storage": "1Gi"}), limits={"cpu": "2"}),
         {"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}),
    ],
    ids=[
        "limits are requests", "requests limit nothing", "what is not requested", "as the containers together",
        "as an init container", "nothing is limited", "huge pages", "nothing that only containers have",
    ],
)  # fmt: skip
def test_what_is_filled_in(obj: Object, expected: Object) -> None:
    assert stored("pods", deepcopy(obj))[1]["spec"]["resources"] == expected


AT = "spec.resources"


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (whole(box(requests=CPU), requests=BOTH), []),
        (
            whole(box("a", {"cpu": "1"}), box("b", {"cpu": "500m"}), requests=CPU),
            [f'{AT}.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container '
             "requests of 1500m"],
        ),
        (
            whole(box(limits={"cpu": "2"}), limits=CPU, requests=CPU),
            [f'{AT}.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container requests '
             "of 2",
             f'{AT}.containers[0][cpu].limits: Invalid value: "2": must be less than or equal to pod limits of 1'],
        ),
        (whole(box("a", limits=CPU), box("b", limits=CPU), limits=CPU, requests={"cpu": "2"}),
         [f'{AT}.requests: Invalid value: "2": must be less than or equal to cpu limit of 1']),
        (
            whole(requests={"cpu": "1", "ephemeral-storage": "1Gi"}),
            [f'{AT}.requests[ephemeral-storage]: Unsupported value: "ephemeral-storage": supported values: "cpu", '
             '"hugepages-", "memory"'],
        ),
        (whole(limits={HUGE: "2Mi"}), [f"{AT}: Forbidden: HugePages require cpu or memory"]),
        (
            whole(requests=CPU, claims=[{"name": "x"}]),
            [f"{AT}.claims: Forbidden: claims cannot be set for Resources at pod-level"],
        ),
        ({**whole(requests=CPU), "spec": {**whole(requests=CPU)["spec"], "os": {"name": "windows"}}},
         [f"{AT}: Forbidden: may not be set for a windows pod"]),
    ],
    ids=[
        "right", "less than the containers", "a container above the pod", "more than its limit", "what cannot be asked",
        "huge pages alone", "claims", "windows",
    ],
)  # fmt: skip
def test_what_is_refused(obj: Object, expected: list[str]) -> None:
    kind, made = stored("pods", deepcopy(obj))
    assert [str(each) for each in validate_create(kind, made)] == expected


# ---- resize


def sized(requests: Object | None = None, limits: Object | None = None, **more: Any) -> Object:
    return pod(containers=[box(requests=requests, limits=limits, **more)])


ONE: Any = [box(requests=CPU)]
RESTART = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
POLICY = [{"resourceName": "cpu", "restartPolicy": "NotRequired"}]
POD_LEVEL = whole(box(requests=CPU), requests={"cpu": "2"}, limits={"cpu": "4"})

RESIZES: list[Any] = [
    pytest.param(sized(CPU), {"containers": [box(requests={"cpu": "2"})]}, [], id="more"),
    pytest.param(sized(CPU), {"containers": [box(requests={"cpu": "1000m"})]}, [], id="the same, said otherwise"),
    pytest.param(
        sized(CPU), {"containers": [box()]},
        ['spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing',
         "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed"],
        id="removed",
    ),
    pytest.param(
        sized(BOTH, BOTH), {"containers": [box(requests=CPU | {"memory": "512Mi"}, limits=BOTH)]},
        ['spec: Invalid value: "Guaranteed": Pod QOS Class may not change as a result of resizing'],
        id="another class",
    ),
    pytest.param(
        sized(CPU), {"containers": [box(requests={"cpu": "1", "ephemeral-storage": "1Gi"})]},
        ["spec: Forbidden: only cpu and memory resources are mutable"],
        id="something else",
    ),
    pytest.param(
        sized(CPU), {"containers": [box(requests=CPU, resizePolicy=POLICY)]},
        ["spec: Forbidden: only cpu and memory resources are mutable"],
        id="its policy",
    ),
    pytest.param(
        sized(CPU), {"containers": [box("d", requests=CPU)]},
        ["spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize"],
        id="renamed",
    ),
    pytest.param(
        sized(CPU), {"containers": [box(requests=CPU), box("d", requests=CPU)]},
        ["spec.containers: Forbidden: containers may not be added or removed on resize"],
        id="added",
    ),
    pytest.param(
        pod(containers=ONE, initContainers=[box("i", CPU, resizePolicy=RESTART)]),
        {"initContainers": [box("i", {"cpu": "2"}, resizePolicy=RESTART)]},
        ["spec.initContainers[0]: Forbidden: non-sidecar init containers with a resize policy of RestartContainer "
         "cannot be resized"],
        id="an init container that would restart",
    ),
    pytest.param(
        pod(containers=ONE, initContainers=[box("i", CPU, resizePolicy=RESTART, restartPolicy="Always")]),
        {"initContainers": [box("i", {"cpu": "2"}, resizePolicy=RESTART, restartPolicy="Always")]},
        [], id="a sidecar that restarts",
    ),
    pytest.param(
        pod(containers=ONE, initContainers=[box("i", CPU)]),
        {"initContainers": [box("i", {**CPU, "ephemeral-storage": "1Mi"})]},
        ["spec.initContainers[0]: Forbidden: only cpu and memory resources for init or sidecar containers are mutable"],
        id="something else of an init container",
    ),
    pytest.param(
        POD_LEVEL, {"resources": {"requests": {"cpu": "3"}, "limits": {"cpu": "5"}}}, [], id="the whole pod",
    ),
    pytest.param(
        POD_LEVEL, {"resources": {"requests": {"cpu": "3", "memory": "1Gi"}, "limits": {"cpu": "5"}}}, [],
        id="the whole pod in more respects",
    ),
    pytest.param(
        POD_LEVEL, {"resources": {"requests": {"cpu": "500m"}, "limits": {"cpu": "4"}}},
        [f'{AT}.requests[cpu]: Invalid value: "500m": must be greater than or equal to aggregate container requests '
         "of 1"],
        id="the whole below its parts",
    ),
    pytest.param(
        POD_LEVEL, {"resources": None}, ["spec.resources: Forbidden: pod-level resources cannot be removed"],
        id="the whole no longer",
    ),
    pytest.param(
        POD_LEVEL, {"resources": {"requests": {"cpu": "2"}}},
        ["spec.resources.limits: Forbidden: pod-level resource limits cannot be removed"],
        id="a limit of the whole no longer",
    ),
    pytest.param(
        whole(limits={**CPU, HUGE: "2Mi"}), {"resources": {k: {**CPU, HUGE: "4Mi"} for k in ("requests", "limits")}},
        ["spec: Forbidden: only cpu and memory resources are mutable at pod-level"],
        id="huge pages of the whole",
    ),
    pytest.param(
        sized(CPU), {"resources": {"requests": {"cpu": "2"}}}, [], id="the whole from now on",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("obj", "changes", "expected"), RESIZES)
def test_resize(obj: Object, changes: Object, expected: list[str]) -> None:
    kind, old = stored("pods", deepcopy(obj))
    new = deepcopy(old)
    for key, value in changes.items():
        if value is None:
            del new["spec"][key]
        elif key == "resources":
            new["spec"][key] = value
        else:
            decoded = stored("pods", pod(containers=[box()]) | {"spec": {"containers": [box()], key: value}})[
                1
            ]
            new["spec"][key] = decoded["spec"][key]
    strategy_for(kind).prepare_for_subresource_update("resize", new, old)
    assert [str(e) for e in validate_update(kind, new, old, "resize")] == expected


@pytest.mark.parametrize(
    ("status", "metadata", "spec", "expected"),
    [
        ({}, {"annotations": {"kubernetes.io/config.mirror": "x"}}, {}, "static pods cannot be resized"),
        ({}, {}, {"os": {"name": "windows"}}, "windows pods cannot be resized"),
        (
            {"nodeAllocatableResourceClaimStatuses": [{"resourceClaimName": "c"}]}, {}, {},
            "spec: Forbidden: pods with node allocatable resource claims cannot be resized",
        ),
    ],
    ids=["static", "windows", "resources by claims"],
)  # fmt: skip
def test_pods_that_keep_their_size(status: Object, metadata: Object, spec: Object, expected: str) -> None:
    kind, old = stored("pods", sized(CPU))
    old["status"] |= status
    old["metadata"] |= metadata
    old["spec"] |= spec
    found = [str(e) for e in validate_update(kind, deepcopy(old), old, "resize")]
    assert len(found) == 1
    assert expected in found[0]
