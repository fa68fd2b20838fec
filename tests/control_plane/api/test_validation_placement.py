"""Where pods may go: terms of affinity, topology spread, and the keys of labels that both take."""

from __future__ import annotations

from typing import Any

import pytest

from tests.control_plane.api import samples
from tests.control_plane.api.judging import check

Object = dict[str, Any]
REQUIRED, PREFERRED = (f"{each}DuringSchedulingIgnoredDuringExecution" for each in ("required", "preferred"))
IN_BOTH = "exists in both matchLabelKeys and labelSelector"
SELECTOR = {"matchLabels": {"app": "web"}}


def labelled(**spec: Any) -> Object:
    made = samples.pod(**spec)
    made["metadata"]["labels"] = {"app": "web", "hash": "x"}
    return made


def required(kind: str = "podAffinity", **term: Any) -> Object:
    return labelled(affinity={kind: {REQUIRED: [{"topologyKey": "zone", "labelSelector": SELECTOR, **term}]}})


def preferred(**term: Any) -> Object:
    full = {"topologyKey": "zone", "labelSelector": SELECTOR, **term}
    return labelled(affinity={"podAntiAffinity": {PREFERRED: [{"weight": 1, "podAffinityTerm": full}]}})


def spread(**constraint: Any) -> Object:
    full = {
        "maxSkew": 1,
        "topologyKey": "zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": SELECTOR,
    }
    return labelled(topologySpreadConstraints=[{**full, **constraint}])


def template(pod: Object) -> Object:
    made = samples.workload()
    made["spec"]["template"]["spec"] = pod["spec"]
    return made


TERM = f"spec.affinity.podAffinity.{REQUIRED}[0]"
SOFT = f"spec.affinity.podAntiAffinity.{PREFERRED}[0].podAffinityTerm"
SPREAD = "spec.topologySpreadConstraints[0]"
CASES: list[Any] = [
    pytest.param("pods", required(matchLabelKeys=["hash"]), [], id="a key of the pod"),
    pytest.param("pods", required(matchLabelKeys=["other"]), [], id="a key that the pod has not"),
    pytest.param("pods", required(mismatchLabelKeys=["app"]), [], id="a key that is selected by, mismatched"),
    pytest.param(
        "pods", required(matchLabelKeys=["hash", "app"]), [f'{TERM}[1]: Invalid value: "app": {IN_BOTH}'], id="labels and keys"
    ),
    pytest.param(
        "pods",
        required(
            matchLabelKeys=["app"],
            labelSelector={"matchExpressions": [{"key": "app", "operator": "Exists"}]},
        ),
        [f'{TERM}[0]: Invalid value: "app": {IN_BOTH}'],
        id="expressions and keys",
    ),
    pytest.param(
        "pods", preferred(matchLabelKeys=["app"]), [f'{SOFT}[0]: Invalid value: "app": {IN_BOTH}'], id="a preference"
    ),
    pytest.param(
        "pods",
        required(matchLabelKeys=["hash"], mismatchLabelKeys=["x", "hash"]),
        [f'{TERM}.matchLabelKeys[0]: Invalid value: "hash": exists in both matchLabelKeys and mismatchLabelKeys',
         f'{TERM}[0]: Invalid value: "hash": {IN_BOTH}'],
        id="matched and mismatched",
    ),
    pytest.param(
        "pods",
        required(labelSelector=None, matchLabelKeys=["hash"], mismatchLabelKeys=["x"]),
        [
            f"{TERM}.matchLabelKeys: Forbidden: must not be specified when labelSelector is not set",
            f"{TERM}.mismatchLabelKeys: Forbidden: must not be specified when labelSelector is not set",
        ],
        id="without a selector",
    ),
    pytest.param(
        "pods",
        required(matchLabelKeys=["/simple"], mismatchLabelKeys=["a b"]),
        [f'{TERM}.matchLabelKeys[0]: Invalid value: "/simple": prefix part must be non-empty',
         f'{TERM}.mismatchLabelKeys[0]: Invalid value: "a b": name part must consist of'],
        id="what is no key",
    ),
    pytest.param("deployments.apps", template(required(matchLabelKeys=["app"])), [], id="a template is not merged"),
    pytest.param(
        "pods",
        required(namespaces=["A"], namespaceSelector={"matchLabels": {"a b": "c"}}),
        [f'{TERM}.namespace: Invalid value: "A"', f'{TERM}.namespaceSelector.matchLabels: Invalid value: "a b"'],
        id="namespaces",
    ),
    pytest.param("pods", spread(matchLabelKeys=["hash"]), [], id="spread by a key"),
    pytest.param(
        "pods", spread(matchLabelKeys=["app"]), [f'{SPREAD}[0]: Invalid value: "app": {IN_BOTH}'], id="spread, labels and keys"
    ),
    pytest.param(
        "pods",
        spread(labelSelector=None, matchLabelKeys=["hash"]),
        [f"{SPREAD}.matchLabelKeys: Forbidden: must not be specified when labelSelector is not set"],
        id="spread without a selector",
    ),
    pytest.param(
        "pods",
        spread(nodeAffinityPolicy="Maybe", nodeTaintsPolicy="Ignore"),
        [f'{SPREAD}.nodeAffinityPolicy: Unsupported value: "Maybe": supported values: "Honor", "Ignore"'],
        id="which nodes count",
    ),
    pytest.param(
        "pods",
        spread(whenUnsatisfiable="ScheduleAnyway", minDomains=2),
        [f"{SPREAD}.minDomains: Invalid value: 2: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway"],
        id="domains of what may be anyway",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "obj", "told"), CASES)
def test_placement(kind: str, obj: Object, told: list[str]) -> None:
    check(kind, obj, told)
