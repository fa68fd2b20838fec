"""statefulset: pods with names, order and storage of their own.

identity.py   ordinals, names, pods and claims made from the spec (pure)
retention.py  whether claims go with the set and with pods that are scaled away (pure)
plan.py       the next step: what to make, delete, recreate (pure)
loop.py       carries the plan out
"""

from control_plane.controllers.statefulset.loop import StatefulSetController

__all__ = ["StatefulSetController"]
