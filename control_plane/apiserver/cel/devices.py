"""Selectors of devices: what their expressions see, and what may come out (resource.k8s.io, DRA)."""

from __future__ import annotations

from functools import lru_cache

from control_plane.apiserver import cel

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


@lru_cache(maxsize=CACHED_EXPRESSIONS)
def compile_selector(expression: str) -> cel.Program | str:
    """Or what is wrong with it."""
    try:
        program = cel.compile_expression(expression, {"device": DEVICE})
    except cel.CompileError as error:
        return f"compilation failed: {error}"
    if program.result_type not in (cel.BOOL, cel.DYN):
        return f"must evaluate to bool or the unknown type, not {program.result_type}"
    return program
