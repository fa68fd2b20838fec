"""Keys whose values the pod's own labels give become part of its selectors when it is created."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.api.strategy import label_keys
from control_plane.api.strategy.label_keys import PREFERRED, REQUIRED

LABELS = {"app": "x", "hash": "7"}
IN, NOT_IN = (
    {"key": "hash", "operator": "In", "values": ["7"]},
    {"key": "hash", "operator": "NotIn", "values": ["7"]},
)
MINE = {"matchLabels": {"app": "x"}}


@pytest.mark.parametrize(
    ("owner", "selector"),
    [
        pytest.param(
            {"matchLabelKeys": ["hash"], "labelSelector": MINE}, {**MINE, "matchExpressions": [IN]}, id="in"
        ),
        pytest.param(
            {"mismatchLabelKeys": ["hash"], "labelSelector": MINE},
            {**MINE, "matchExpressions": [NOT_IN]},
            id="not in",
        ),
        pytest.param(
            {"matchLabelKeys": ["hash"], "labelSelector": {"matchExpressions": [NOT_IN]}},
            {"matchExpressions": [NOT_IN, IN]},
            id="after what is there",
        ),
        pytest.param({"matchLabelKeys": ["none"], "labelSelector": MINE}, MINE, id="no such label"),
        pytest.param({"matchLabelKeys": ["hash"]}, None, id="no selector"),
        pytest.param({"labelSelector": MINE}, MINE, id="no keys"),
    ],
)
@pytest.mark.parametrize("where", ["required", "preferred", "anti", "anti preferred"])
def test_affinity(owner: dict[str, Any], selector: dict[str, Any] | None, where: str) -> None:
    term = {
        "topologyKey": "zone",
        **owner,
        **({"labelSelector": dict(owner["labelSelector"])} if selector else {}),
    }
    kind = "podAntiAffinity" if "anti" in where else "podAffinity"
    terms = (
        {PREFERRED: [{"weight": 1, "podAffinityTerm": term}]} if "preferred" in where else {REQUIRED: [term]}
    )
    label_keys.merge({"metadata": {"labels": LABELS}, "spec": {"affinity": {kind: terms}}})
    assert term.get("labelSelector") == selector


def test_spreading() -> None:
    constraint = {"topologyKey": "zone", "matchLabelKeys": ["hash", "none"], "labelSelector": dict(MINE)}
    label_keys.merge({"metadata": {"labels": LABELS}, "spec": {"topologySpreadConstraints": [constraint]}})
    assert constraint["labelSelector"] == {**MINE, "matchExpressions": [IN]}


@pytest.mark.parametrize("spec", [{}, {"affinity": None}, {"affinity": {"podAffinity": None}}], ids=str)
def test_nothing_to_merge(spec: dict[str, Any]) -> None:
    pod = {"metadata": {}, "spec": spec}
    label_keys.merge(pod)
    assert pod == {"metadata": {}, "spec": spec}
