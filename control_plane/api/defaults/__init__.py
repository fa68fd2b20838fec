"""Default values: what kube-apiserver fills in between decoding and admission.

`apply(group, version, kind, obj)` changes the object in place and is idempotent: what is set stays. Fixed
values are tables (`{field: value}`), conditional ones are functions; each file covers one area and
registers by kind.
"""

from control_plane.api.defaults import networking, policy, storage, workloads
from control_plane.api.defaults.registry import apply

__all__ = ["apply"]

_AREAS = (networking, policy, storage, workloads)  # importing them registers their kinds
