"""The functions of Kubernetes' CEL environment."""

from control_plane.apiserver.cel.functions import Library
from control_plane.apiserver.cel.library import (
    conversions,
    formats,
    lists,
    network,
    optionals,
    quantities,
    regex,
    semver,
    sets,
    standard,
    strings,
    times,
    urls,
)

_AREAS = (
    standard,
    conversions,
    times,
    strings,
    lists,
    regex,
    sets,
    optionals,
    urls,
    network,
    quantities,
    semver,
    formats,
)
STANDARD = Library(*(area.LIBRARY for area in _AREAS))
