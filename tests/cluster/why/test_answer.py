"""What may be asked, and what the answer looks like."""

from __future__ import annotations

import pytest

from cluster.why import render, scheduling, target
from cluster.why.target import UnknownTarget
from tests.cluster.why.build import obj, pod, waiting, why

WEB = obj("web", spec={"replicas": 2}, status={"availableReplicas": 1, "updatedReplicas": 2, "replicas": 2})
SET = obj("web-1", WEB, spec={"replicas": 2}, status={"readyReplicas": 1})


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["po/x"], ("pods", "x")),
        (["deploy", "web"], ("deployments", "web")),
        (["persistentvolumeclaims/data"], ("persistentvolumeclaims", "data")),
    ],
)
def test_targets(words: list[str], expected: tuple[str, str]) -> None:
    assert target.parse(words) == expected


@pytest.mark.parametrize("words", [["x"], ["configmap/x"], ["pod/"]])
def test_targets_that_are_none(words: list[str]) -> None:
    with pytest.raises(UnknownTarget, match="KIND/NAME"):
        target.parse(words)


def test_a_name_that_is_nearly_right_is_suggested() -> None:
    with pytest.raises(UnknownTarget, match=r"no pod 'web1' in the namespace default; there is web-1"):
        why("pod/web1", pods=[pod("web-1")])


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("0/2 nodes are available: 1 A, 1 B {a: b}. preemption: 0/2 nodes", ["1 A", "1 B {a: b}"]),
        ("0/1 nodes are available: 1 A.", ["1 A"]),
        ("running PreBind plugin failed", ["running PreBind plugin failed"]),
        ("", []),
    ],
)
def test_the_words_of_a_scheduler(message: str, expected: list[str]) -> None:
    assert scheduling.reasons(message) == expected


def test_what_people_read() -> None:
    cause = why(
        "deploy/web",
        deployments=[WEB],
        replicasets=[SET],
        pods=[pod("web-1-a", SET), pod("web-1-b", SET, status=waiting("ErrImagePull", "no such image"))],
    )
    assert (
        render.text(cause)
        == """\
deployment/web has 1 of 2 pods available
└─ replicaset/web-1 has 1 of 2 pods ready
   └─ pod/web-1-b cannot start: the image 'web:1' cannot be had (ErrImagePull)
         no such image

next:
  correct the image's name, or its pull secret, or make it available to the node"""
    )
    document = render.document(cause)
    assert document["because"][0]["because"][0]["about"] == "pod/web-1-b"
    assert document["next"] == cause.next_steps()
