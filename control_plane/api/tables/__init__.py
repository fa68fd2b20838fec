"""Tables, as `kubectl get` prints them: columns and cells per kind, word for word what kube-apiserver sends.

`columns(resource)` gives the column definitions (priority 1 is shown with `-o wide` only), `row(resource,
obj, now_s)` the cells in the same order, with the conditions that make kubectl hide finished pods. Kinds
without a table of their own get NAME and CREATED AT. Pure: the present is a parameter, because ages are
text by the time they leave the server.

    layout.py     how a table is declared, and the index of all of them
    text.py       ages, selectors, container lists
    pods.py  workloads.py  core.py  networking.py  storage.py  policy.py     the tables
"""

from control_plane.api.tables import core, networking, pods, policy, storage, workloads
from control_plane.api.tables.layout import Row, columns, row

__all__ = ["Row", "columns", "row"]

_AREAS = (core, networking, pods, policy, storage, workloads)  # importing them registers their tables
