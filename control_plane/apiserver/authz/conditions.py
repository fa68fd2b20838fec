"""matchConditions of an authorization webhook: CEL over the SubjectAccessReview (`request`) says if it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from control_plane.apiserver import cel
from control_plane.apiserver.authz.webhook import ConditionsFailed

_STRINGS = cel.list_of(cel.STRING)
_REQUIREMENT = cel.object_of(
    "kubernetes.SelectorRequirement",
    lambda: {"key": cel.STRING, "operator": cel.STRING, "values": _STRINGS},
)
_SELECTOR = cel.object_of(
    "kubernetes.SelectorAttributes",
    lambda: {"rawSelector": cel.STRING, "requirements": cel.list_of(_REQUIREMENT)},
)
_RESOURCE = cel.object_of(
    "kubernetes.ResourceAttributes",
    lambda: {
        **dict.fromkeys(
            ("namespace", "verb", "group", "version", "resource", "subresource", "name"), cel.STRING
        ),
        "fieldSelector": _SELECTOR,
        "labelSelector": _SELECTOR,
    },
)
_PATH = cel.object_of("kubernetes.NonResourceAttributes", lambda: {"path": cel.STRING, "verb": cel.STRING})
REQUEST = {
    "request": cel.object_of(
        "kubernetes.SubjectAccessReviewSpec",
        lambda: {
            "resourceAttributes": _RESOURCE,
            "nonResourceAttributes": _PATH,
            "user": cel.STRING,
            "groups": _STRINGS,
            "extra": cel.map_of(cel.STRING, _STRINGS),
            "uid": cel.STRING,
        },
    )
}
_RESOURCE_DEFAULTS = dict.fromkeys(
    ("namespace", "verb", "group", "version", "resource", "subresource", "name"), ""
)

Object = dict[str, Any]


def compiled(text: str) -> cel.Program:
    """Raises cel.CompileError, ValueError."""
    program = cel.compile_expression(text, REQUEST)
    if program.result_type not in (cel.DYN, cel.BOOL):
        raise ValueError("must evaluate to bool")
    return program


class MatchConditions:
    def __init__(self, programs: Sequence[cel.Program]) -> None:
        self._programs = tuple(programs)

    def hold(self, spec: Object) -> bool:
        """`spec` is that of a review in version v1. One that is false decides, even when another fails. Raises
        ConditionsFailed."""
        seen: Object = {"user": "", "uid": "", "groups": [], "extra": {}, **spec}
        if "resourceAttributes" in seen:
            seen["resourceAttributes"] = {**_RESOURCE_DEFAULTS, **seen["resourceAttributes"]}
        failures: list[str] = []
        for program in self._programs:
            try:
                if program.evaluate({"request": seen}) is not True:
                    return False
            except cel.CELError as error:
                failures.append(str(error))
        if failures:
            raise ConditionsFailed("; ".join(failures))
        return True
