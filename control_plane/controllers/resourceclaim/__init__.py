"""resourceclaim: makes the claims that pods' templates ask for, and gives claims back when nobody uses them.

plan.py   what a pod needs, what becomes of a claim (pure)
loop.py   informers, keys, writes
"""

from control_plane.controllers.resourceclaim.loop import ResourceClaimController

__all__ = ["ResourceClaimController"]
