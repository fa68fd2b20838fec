"""daemonset: one pod on every node that should have one, of the newest template as the update strategy allows.

plan.py      which nodes need a pod, which pods are too many (pure)
update.py    which pods of an old revision are replaced (pure)
patience.py  how soon a pod that failed is made anew (pure)
status.py    what the set says of itself (pure)
loop.py      carries the plan out
"""

from control_plane.controllers.daemonset.loop import DaemonSetController

__all__ = ["DaemonSetController"]
