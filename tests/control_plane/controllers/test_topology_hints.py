"""Which zone each endpoint is meant for, where a service follows the zones' sizes."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.controllers import topology_hints
from control_plane.controllers.topology_hints import OVERLOAD, ZONE, add, shares
from tests.control_plane.controllers.objects import Obj
from tests.control_plane.controllers.objects import node as any_node


def node(zone: str, cpu: str = "4", ready: str = "True", **labels: str) -> Obj:
    made = any_node(f"n-{zone}-{cpu}", ready=ready, labels={**({ZONE: zone} if zone else {}), **labels})
    made["status"]["allocatable"] = {"cpu": cpu} if cpu else {}
    return made


def service(mode: str = "Auto", name: str = topology_hints.MODES[0], **spec: Any) -> Obj:
    return {"metadata": {"name": "s", "annotations": {name: mode}}, "spec": spec}


def endpoints(homes: str, ready: bool = True) -> list[Obj]:
    """One for each letter, in the zone of that name; "-" is in none."""
    return [
        {
            "addresses": [f"10.0.{int(ready)}.{number:03}"],
            "conditions": {"ready": ready},
            **({"zone": home} if home != "-" else {}),
        }
        for number, home in enumerate(homes)
    ]


def meant(found: list[Obj]) -> str:
    """The letters of the zones; "-" where there is no hint."""
    hints = (each.get("hints", {}).get("forZones", [{"name": "-"}])[0]["name"] for each in found)
    return "".join(hints)


CONTROL_PLANE = {"node-role.kubernetes.io/control-plane": ""}


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        pytest.param([], None, id="no nodes"),
        pytest.param([node("a"), node("b", "12")], {"a": 0.25, "b": 0.75}, id="by processors"),
        pytest.param([node("a")], None, id="one zone"),
        pytest.param([node("a"), node("b"), node("")], None, id="a node without a zone"),
        pytest.param([node("a"), node("b"), node("b", "")], None, id="a node without a size"),
        pytest.param([node("a"), node("b"), node("c", ready="False")], {"a": 0.5, "b": 0.5}, id="not ready"),
        pytest.param(
            [node("a"), node("b"), node("b", **CONTROL_PLANE)], {"a": 0.5, "b": 0.5}, id="control plane"
        ),
    ],
)
def test_shares(nodes: list[Obj], expected: dict[str, float] | None) -> None:
    assert shares(nodes) == expected


THIRDS = {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}


@pytest.mark.parametrize(
    ("homes", "by_zone", "expected"),
    [
        pytest.param("abc", THIRDS, "abc", id="each its own"),
        pytest.param("aabbcc", THIRDS, "aabbcc", id="two each"),
        pytest.param("aaabbc", THIRDS, "aacbbc", id="one is moved"),
        pytest.param("aaaaaa", THIRDS, "aabcbc", id="all in one zone"),
        pytest.param("ab", THIRDS, "--", id="fewer than zones"),
        pytest.param("ab-", THIRDS, "---", id="one is in no zone"),
        pytest.param("abca", THIRDS, "----", id="somebody would be overloaded"),
        pytest.param("aabb", {"a": 0.75, "b": 0.25}, "aaba", id="the larger zone gets more"),
        pytest.param("dddd", {"a": 0.5, "b": 0.5}, "abab", id="from a zone without nodes"),
        pytest.param("abc", None, "---", id="sizes are not known"),
    ],
)
def test_auto(homes: str, by_zone: dict[str, float] | None, expected: str) -> None:
    found = meant(add(service(), endpoints(homes), by_zone))
    assert Counter(found) == Counter(expected)
    assert found.count("-") in (0, len(homes))


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        pytest.param(service("Auto"), "abc", id="Auto"),
        pytest.param(service("auto"), "abc", id="auto"),
        pytest.param(service("auto", topology_hints.MODES[1]), "abc", id="the former name"),
        pytest.param(service("Disabled"), "---", id="Disabled"),
        pytest.param(service("Auto", trafficDistribution="PreferClose"), "abc", id="a preference wins"),
    ],
)
def test_mode(obj: Obj, expected: str) -> None:
    assert meant(add(obj, endpoints("abc"), THIRDS)) == expected


def test_what_is_not_ready_is_nobodys() -> None:
    assert meant(add(service(), [*endpoints("abc"), *endpoints("abc", ready=False)], THIRDS)) == "abc---"


weights = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 64), min_size=2)


@given(st.text("abcd", max_size=40), weights)
def test_nobody_is_overloaded_and_little_is_moved(homes: str, cpus: dict[str, int]) -> None:
    by_zone = {zone: cpu / sum(cpus.values()) for zone, cpu in cpus.items()}
    found = meant(add(service(), endpoints(homes), by_zone))
    if "-" in found:
        assert set(found) == {"-"}
        return
    has = Counter(found)
    for zone, share in by_zone.items():
        assert has[zone] >= math.ceil(share * len(homes) / (1 + OVERLOAD) - 1e-9)
        assert abs(has[zone] - share * len(homes)) <= len(by_zone)
    assert meant(add(service(), endpoints(homes), by_zone)) == found
