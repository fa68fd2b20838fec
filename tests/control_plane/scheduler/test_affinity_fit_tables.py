"""The filter of InterPodAffinity as the tables of kube-scheduler's own tests have it, case by case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from control_plane.client.types import Obj
from tests.control_plane.scheduler.build import World, expression
from tests.control_plane.scheduler.notation import nodes_of, pod_of

CHINA, INDIA, AZ1 = "region=china", "region=india", "az=az1"


def term(key: str, *expressions: Obj, **more: Any) -> Obj:
    return {"topologyKey": key, "labelSelector": {"matchExpressions": list(expressions)}, **more}


def needing(near: Sequence[Obj] = (), far: Sequence[Obj] = ()) -> Obj:
    key = "requiredDuringSchedulingIgnoredDuringExecution"
    return {"podAffinity": {key: list(near)}, "podAntiAffinity": {key: list(far)}}


def has(key: str, *labels: str, **more: Any) -> Obj:
    return term(key, *(expression(label, "Exists") for label in labels), **more)


def among(key: str, label: str, *values: str, operator: str = "In") -> Obj:
    return term(key, expression(label, operator, *values))


ONE = ["1 region=r1 zone=z11"]
SCAN, S = "service=securityscan", "security=S1"
SCANNER, VIRUS = ("service", "securityscan", "value2"), ("service", "antivirusscan", "value2")
WRONG = expression("service", "NotIn", "WrongValue")
PAIR = ["1 region=r1 zone=z1", "2 region=r1 zone=z2"]
SAME = ["1 region=r1 zone=z1", "2 region=r1 zone=z1"]
TRIPLE = [f"1 {CHINA}", f"2 {CHINA} {AZ1}", f"3 {INDIA}"]
RULES = "node(s) didn't match pod affinity rules"
ANTI = "node(s) didn't match pod anti-affinity rules"
EXISTING = "node(s) didn't satisfy existing pods anti-affinity rules"
BOTH_LABELS, BAD = "foo= bar=", "invalid-node-label"


def far_from(*terms: Obj) -> Obj:
    return needing(far=terms)


def near_to(*terms: Obj) -> Obj:
    return needing(near=terms)


SCAN_FAR, ABC_DEF = (
    far_from(has("zone", "service"), has("zone", "security")),
    far_from(has("zone", "abc"), has("zone", "def")),
)

FIT_CASES = [
    ("asks for nothing", pod_of(""), ONE, [], [""]),
    ("In", pod_of(f" {S}", near_to(among("region", *SCANNER))), ONE, [pod_of(f"1 {SCAN}")], [""]),
    (
        "NotIn",
        pod_of(f" {S}", near_to(among("region", "service", "securityscan3", operator="NotIn"))),
        ONE,
        [pod_of(f"1 {SCAN}")],
        [""],
    ),
    (
        "another namespace",
        pod_of(
            f" {S}", near_to(term("region", expression("service", "In", *SCANNER[1:]), namespaces=["other"]))
        ),
        ONE,
        [pod_of(f"1@ns {SCAN}")],
        [RULES],
    ),
    ("no match", pod_of(f" {SCAN}", near_to(among("region", *VIRUS))), ONE, [pod_of(f"1 {SCAN}")], [RULES]),
    (
        "all operators, all terms",
        pod_of(
            f" {S}",
            near_to(
                term("region", expression("service", "Exists"), expression("wrongkey", "DoesNotExist")),
                term("region", expression("service", "In", "securityscan"), WRONG),
            ),
        ),
        ONE,
        [pod_of(f"1 {SCAN}")],
        [""],
    ),
    (
        "one expression of one term fails",
        pod_of(
            f" {S}",
            near_to(
                term("region", expression("service", "Exists"), expression("wrongkey", "DoesNotExist")),
                term("region", expression("service", "In", "securityscan2"), WRONG),
            ),
        ),
        ONE,
        [pod_of(f"1 {SCAN}")],
        [RULES],
    ),
    (
        "near and far",
        pod_of(f" {S}", needing([among("region", *SCANNER)], [among("node", *VIRUS)])),
        ONE,
        [pod_of(f"1 {SCAN}")],
        [""],
    ),
    (
        "near, not far",
        pod_of(f" {S}", needing([among("region", *SCANNER)], [among("zone", *SCANNER)])),
        ONE,
        [pod_of(f"1 {SCAN}")],
        [ANTI],
    ),
    (
        "near and far, but the other does not want it",
        pod_of(f" {SCAN}", needing([among("region", *SCANNER)], [among("node", *VIRUS)])),
        ONE,
        [pod_of(f"1 {SCAN}", far_from(among("zone", *SCANNER)))],
        [EXISTING],
    ),
    (
        "it does not match itself and others are elsewhere",
        pod_of(f" {SCAN}", near_to(among("region", *SCANNER, operator="NotIn"))),
        ONE,
        [pod_of(f"2 {SCAN}")],
        [RULES],
    ),
    (
        "unwanted, without wishes of its own",
        pod_of(f" {SCAN}"),
        ONE,
        [pod_of(f"1 {SCAN}", far_from(among("zone", *SCANNER)))],
        [EXISTING],
    ),
    (
        "wanted well enough",
        pod_of(f" {SCAN}"),
        ONE,
        [pod_of(f"1 {SCAN}", far_from(among("zone", *SCANNER, operator="NotIn")))],
        [""],
    ),
    (
        "any term of its own",
        pod_of(f" {SCAN}", far_from(has("region", "service"), has("region", "security"))),
        ONE,
        [pod_of(f"1 {S}", far_from(has("zone", "security")))],
        [ANTI],
    ),
    (
        "partial match, own term",
        pod_of(f" {SCAN}", SCAN_FAR),
        ONE,
        [pod_of(f"1 {S}", far_from(has("zone", "security")))],
        [ANTI],
    ),
    (
        "partial match, their term",
        pod_of(f" {S}", far_from(has("zone", "security"))),
        ONE,
        [pod_of(f"1 {SCAN}", SCAN_FAR)],
        [EXISTING],
    ),
    ("both partial", pod_of(" abc= xyz=", ABC_DEF), ONE, [pod_of("1 def= xyz=", ABC_DEF)], [ANTI]),
    (
        "both partial, turned round",
        pod_of(" def= xyz=", ABC_DEF),
        ONE,
        [pod_of("1 abc= xyz=", ABC_DEF)],
        [ANTI],
    ),
    (
        "the whole domain",
        pod_of("", near_to(among("region", "foo", "bar"))),
        TRIPLE,
        [pod_of("1 foo=bar")],
        ["", "", RULES],
    ),
    (
        "the first of its group, one term matched by others",
        pod_of(
            f" foo=bar {SCAN}", near_to(among("zone", "foo", "bar"), among("zone", "service", "securityscan"))
        ),
        PAIR,
        [pod_of("1 foo=bar")],
        ["", ""],
    ),
    (
        "far from a domain",
        pod_of("", far_from(among("region", "foo", "abc"))),
        SAME,
        [pod_of("1 foo=abc")],
        [ANTI, ANTI],
    ),
    (
        "any anti-affinity term",
        pod_of("", far_from(among("region", "foo", "abc"), among("zone", "service", "securityscan"))),
        PAIR,
        [pod_of(f"1 foo=abc {SCAN}")],
        [ANTI, ANTI],
    ),
    (
        "another domain",
        pod_of("", far_from(among("region", "foo", "abc"))),
        TRIPLE,
        [pod_of("1 foo=abc")],
        [ANTI, ANTI, ""],
    ),
    (
        "they are in another namespace",
        pod_of("@ns1 foo=123", far_from(among("region", "foo", "bar"))),
        TRIPLE,
        [pod_of("1@ns1 foo=bar"), pod_of("3@ns2", far_from(among("region", "foo", "123")))],
        [ANTI, ANTI, ""],
    ),
    ("their key is nowhere", pod_of(" foo="), SAME, [pod_of("1", far_from(has(BAD, "foo")))], ["", ""]),
    ("its key is nowhere", pod_of("", far_from(has(BAD, "foo"))), SAME, [pod_of("1 foo=")], ["", ""]),
    (
        "unwanted by two",
        pod_of(f" {BOTH_LABELS}"),
        PAIR,
        [pod_of("1", far_from(has("zone", "foo"))), pod_of("1", far_from(has("region", "bar")))],
        [EXISTING, EXISTING],
    ),
    (
        "far from two",
        pod_of("", far_from(has("zone", "foo"), has("region", "bar"))),
        PAIR,
        [pod_of("1 foo="), pod_of("2 bar=")],
        [ANTI, ANTI],
    ),
    (
        "their terms one by one, one key is nowhere",
        pod_of(f" {BOTH_LABELS}"),
        PAIR,
        [pod_of("1", far_from(has(BAD, "foo"), has("zone", "bar")))],
        [EXISTING, ""],
    ),
    (
        "its terms one by one, one key is nowhere",
        pod_of("", far_from(has(BAD, "foo"), has("zone", "bar"))),
        PAIR,
        [pod_of(f"1 {BOTH_LABELS}")],
        [ANTI, ""],
    ),
    (
        "their terms one by one",
        pod_of(f" {BOTH_LABELS}"),
        PAIR,
        [pod_of("1", far_from(has("region", "foo"), has("zone", "bar")))],
        [EXISTING, EXISTING],
    ),
    (
        "its terms one by one",
        pod_of("", far_from(has("region", "foo"), has("zone", "bar"))),
        PAIR,
        [pod_of(f"1 {BOTH_LABELS}")],
        [ANTI, ANTI],
    ),
    (
        "the third node",
        pod_of(f" {BOTH_LABELS}"),
        [*PAIR, "3 region=r1 zone=z3"],
        [
            pod_of("1", far_from(has("zone", "foo"), has("zone", "labelA"))),
            pod_of("2", far_from(has("zone", "bar"), has("zone", "labelB"))),
        ],
        [EXISTING, EXISTING, ""],
    ),
    (
        "near: one pod matches all terms",
        pod_of("", near_to(has("region", "foo"), has("zone", "bar"))),
        SAME,
        [pod_of(f"1 {BOTH_LABELS}")],
        ["", ""],
    ),
    (
        "near: each pod matches one term",
        pod_of("", near_to(has("region", "foo"), has("zone", "bar"))),
        PAIR,
        [pod_of("1 foo="), pod_of("2 bar=")],
        [RULES, RULES],
    ),
]


@pytest.mark.parametrize(
    ("obj", "nodes", "there", "said"), [pytest.param(*case[1:], id=case[0]) for case in FIT_CASES]
)
def test_fit(obj: Obj, nodes: list[str], there: list[Obj], said: list[str]) -> None:
    answers = World(nodes_of(nodes), there).feasible("InterPodAffinity", obj)
    assert [answers[text.split()[0]] for text in nodes] == said
