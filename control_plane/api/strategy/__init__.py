"""What writing an object of a kind means: which part of it a request may set, and what the server sets
itself.

    base.py     the generic rules (status apart from spec, generation) and the table of exceptions
    hooks.py    what single kinds do on top: pods, jobs, namespaces, services …
    fields.py   which field selectors a kind supports
    scale.py    the scale subresource of the kinds that have one
"""

from control_plane.api.strategy.base import Strategy, strategy_for
from control_plane.api.strategy.fields import (
    field_matcher,
    field_values,
    supported_fields,
    unsupported_field,
)
from control_plane.api.strategy.scale import from_scale, to_scale

__all__ = [
    "Strategy",
    "field_matcher",
    "field_values",
    "from_scale",
    "strategy_for",
    "supported_fields",
    "to_scale",
    "unsupported_field",
]
