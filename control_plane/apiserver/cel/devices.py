"""Selectors of devices: what their expressions see, and what may come out (resource.k8s.io, DRA).

`includes` asks an attribute for a value, whether it is a list or not (KEP 5491).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from control_plane.apiserver import cel
from control_plane.apiserver.cel import operators
from control_plane.apiserver.cel.functions import item_cost, overload

CACHED_EXPRESSIONS = 1024
DEVICE = cel.object_of(
    "kubernetes.DRADevice",
    {
        "driver": cel.STRING,
        "attributes": cel.map_of(cel.STRING, cel.map_of(cel.STRING, cel.DYN)),
        "capacity": cel.map_of(cel.STRING, cel.map_of(cel.STRING, cel.opaque_type("kubernetes.Quantity"))),
        "allowMultipleAllocations": cel.BOOL,
    },
)


def _includes(attribute: Any, value: Any) -> bool:
    values = attribute if isinstance(attribute, list) else [attribute]
    return any(operators.equal(each, value) for each in values)


FUNCTIONS = (overload("method includes(dyn, dyn) -> bool", _includes, item_cost),)


@lru_cache(maxsize=CACHED_EXPRESSIONS)
def compile_selector(expression: str) -> cel.Program | str:
    """Or what is wrong with it."""
    try:
        program = cel.compile_expression(expression, {"device": DEVICE}, FUNCTIONS)
    except cel.CompileError as error:
        return f"compilation failed: {error}"
    if program.result_type not in (cel.BOOL, cel.DYN):
        return f"must evaluate to bool or the unknown type, not {program.result_type}"
    return program
