"""Scores of InterPodAffinity as the tables of kube-scheduler's own tests have it, case by case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from control_plane.client.types import Obj
from tests.control_plane.scheduler.build import World, expression
from tests.control_plane.scheduler.notation import nodes_of, pod_of

CHINA, INDIA, AZ1, AZ2 = "region=china", "region=india", "az=az1", "az=az2"
REGIONS = [f"1 {CHINA}", f"2 {INDIA}", f"3 {AZ1}"]
FIVE = [f"1 {CHINA}", f"2 {INDIA}", f"3 {CHINA}", f"4 {CHINA}", f"5 {INDIA}"]
WITHIN: Obj = {
    "namespaces": ["subteam2.team2"],
    "namespaceSelector": {"matchExpressions": [expression("team", "In", "team1")]},
}
TEAMS = {f"subteam{number}.{team}": {"team": team} for number in (1, 2) for team in ("team1", "team2")}


def term(key: str, *expressions: Obj, **more: Any) -> Obj:
    return {"topologyKey": key, "labelSelector": {"matchExpressions": list(expressions)}, **more}


def likes(weight: int, wanted: Obj) -> Obj:
    return {"weight": weight, "podAffinityTerm": wanted}


def preferring(near: Sequence[Obj] = (), far: Sequence[Obj] = ()) -> Obj:
    key = "preferredDuringSchedulingIgnoredDuringExecution"
    return {
        **({"podAffinity": {key: list(near)}} if near else {}),
        **({"podAntiAffinity": {key: list(far)}} if far else {}),
    }


S1, S2 = expression("security", "In", "S1"), expression("security", "In", "S2")
NEAR_S1, NEAR_S2 = preferring([likes(5, term("region", S1))]), preferring([likes(6, term("region", S2))])
FAR_S1, FAR_S2 = (preferring(far=[likes(5, term("az", each))]) for each in (S1, S2))
BOTH = preferring([likes(8, term("region", S1))], [likes(5, term("az", S2))])
NEAR_TEAM, FAR_TEAM = (
    preferring([likes(5, term("region", S1, **WITHIN))]),
    preferring(far=[likes(5, term("region", S1, **WITHIN))]),
)
KNOWN = [expression("security", "Exists"), expression("wrongkey", "DoesNotExist")]
PICKY = preferring(
    [
        likes(8, term("region", expression("security", "NotIn", "S1"), S2)),
        likes(2, term("region", *KNOWN)),
    ]
)
HARD: Obj = {
    "podAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            term("region", expression("security", "In", "S1", "value2")),
            term("region", *KNOWN),
        ]
    }
}


def someone(text: str, affinity: Obj | None = None) -> Obj:
    """`[node][@namespace] [security]`."""
    place, _, security = text.partition(" ")
    return pod_of(f"{place} security={security}" if security else place, affinity)


def everyone(*texts: str) -> list[Obj]:
    return [someone(text) for text in texts]


T1 = "@subteam1.team1 S1"
MANY = everyone("1 S1", "1 S1", "2 S1", "3 S1", "3 S1", "4 S1", "5 S1")
IN_TEAMS = everyone(
    "1@subteam1.team1 S1", "1@subteam1.team1 S1", "1@subteam1.team2 S1", "2@subteam2.team1 S1"
)
IN_NAMED = everyone(
    "1@subteam1.team1 S1", "1@subteam1.team1 S1", "1@subteam2.team2 S1", "2@subteam2.team1 S1"
)

AFFINITY_CASES = [
    ("no preferences at all", someone(" S1"), REGIONS, [], None),
    (
        "key and pods match",
        someone(" S1", NEAR_S1),
        REGIONS,
        everyone("1 S1", "2 S2", "3 S1"),
        [100, 0, 0],
    ),
    (
        "the whole domain",
        someone("", NEAR_S1),
        [f"1 {CHINA}", f"2 {CHINA} {AZ1}", f"3 {INDIA}"],
        everyone("1 S1"),
        [100, 100, 0],
    ),
    (
        "where there are more",
        someone(" S1", NEAR_S2),
        FIVE,
        everyone("1 S2", "1 S2", "2 S2", "3 S2", "4 S2", "5 S2"),
        [100, 0, 100, 100, 0],
    ),
    ("operators", someone(" S1", PICKY), REGIONS, everyone("1 S1", "2 S2", "3 S1"), [20, 100, 0]),
    (
        "symmetry",
        someone(" S2"),
        REGIONS,
        [someone("1 S1", NEAR_S1), someone("2 S2", NEAR_S2)],
        [0, 100, 0],
    ),
    (
        "symmetry across namespaces",
        someone(T1),
        REGIONS,
        [someone("1 S1", NEAR_TEAM), someone("2 S2", NEAR_S2)],
        [100, 0, 0],
    ),
    (
        "symmetry across namespaces, away",
        someone(T1),
        REGIONS,
        [someone("1 S1", FAR_TEAM), someone("2 S2", NEAR_S2)],
        [0, 100, 100],
    ),
    (
        "symmetry of what is required",
        someone(" S1"),
        REGIONS,
        [someone("1 S1", HARD), someone("2 S2", HARD)],
        [100, 100, 0],
    ),
    ("away", someone(" S1", FAR_S1), [f"1 {AZ1}", f"2 {CHINA}"], everyone("1 S1", "2 S2"), [0, 100]),
    ("away, no key", someone(" S1", FAR_S1), [f"1 {AZ1}", f"2 {CHINA}"], everyone("1 S1", "2 S1"), [0, 100]),
    (
        "away from many",
        someone(" S1", FAR_S1),
        [f"1 {AZ1}", f"2 {INDIA}"],
        everyone("1 S1", "1 S1", "2 S2"),
        [0, 100],
    ),
    (
        "away, symmetry",
        someone(" S2"),
        [f"1 {AZ1}", f"2 {AZ2}"],
        [someone("1 S1", FAR_S2), someone("2 S2", FAR_S1)],
        [0, 100],
    ),
    ("near and away", someone(" S1", BOTH), [f"1 {CHINA}", f"2 {AZ1}"], everyone("1 S1", "2 S1"), [100, 0]),
    (
        "near and away among many",
        someone(" S1", BOTH),
        [f"1 {CHINA} {AZ1}", *FIVE[1:]],
        MANY,
        [100, 0, 100, 100, 0],
    ),
    (
        "everything together",
        someone(" S1", BOTH),
        [f"1 {CHINA}", f"2 {AZ1}", f"3 {INDIA}", f"4 {AZ2}"],
        [*everyone("1 S1", "2 S2"), someone("3", BOTH), someone("4", FAR_S1)],
        [100, 0, 100, 0],
    ),
    (
        "one domain",
        someone(" S1"),
        [f"1 {CHINA}", f"2 {CHINA}"],
        [someone("1 S1"), someone("2", BOTH)],
        [0, 0],
    ),
    ("namespaces by selector", someone(T1, NEAR_TEAM), REGIONS[:2], IN_TEAMS, [100, 0]),
    ("namespaces by selector and name", someone(T1, NEAR_TEAM), REGIONS[:2], IN_NAMED, [100, 0]),
    ("namespaces by selector, away", someone(T1, FAR_TEAM), REGIONS[:2], IN_TEAMS, [0, 100]),
    ("namespaces by selector and name, away", someone(T1, FAR_TEAM), REGIONS[:2], IN_NAMED, [0, 100]),
]


@pytest.mark.parametrize(
    ("obj", "nodes", "there", "expected"), [pytest.param(*case[1:], id=case[0]) for case in AFFINITY_CASES]
)
def test_affinity(obj: Obj, nodes: list[str], there: list[Obj], expected: list[int] | None) -> None:
    world = World(nodes_of(nodes), there)
    world.namespaces = TEAMS
    scores = world.scores("InterPodAffinity", obj)
    assert (scores and list(scores.values())) == expected


TO_TEAM: Obj = {
    "podAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            term(
                "region",
                S1,
                namespaces=["default", "subteam2.team2"],
                namespaceSelector=WITHIN["namespaceSelector"],
            )
        ]
    }
}


@pytest.mark.parametrize(
    ("namespace", "weight", "expected"),
    [
        pytest.param("default", 1, [100, 100, 0], id="default weight"),
        pytest.param("default", 0, None, id="no weight"),
        pytest.param("subteam1.team2", 1, None, id="another namespace"),
        pytest.param("subteam1.team1", 1, [100, 100, 0], id="a namespace by selector"),
        pytest.param("subteam2.team2", 1, [100, 100, 0], id="a namespace by name"),
    ],
)
def test_the_weight_of_what_others_require(namespace: str, weight: int, expected: list[int] | None) -> None:
    world = World(nodes_of(REGIONS), [someone("1", TO_TEAM), someone("2", TO_TEAM)])
    world.namespaces = TEAMS
    scores = world.scores("InterPodAffinity", someone(f"@{namespace} S1"), {"hardPodAffinityWeight": weight})
    assert (scores and list(scores.values())) == expected
