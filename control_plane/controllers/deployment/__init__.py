"""deployment: rolls a template out over replica sets, one per revision of the template.

loop.py       what to look at, what to write
rolling.py    how many replicas each replica set should have next (pure)
revision.py   template hashes, revision numbers, which set is new and which are old (pure)
status.py     counts, conditions, progress (pure)
"""

from control_plane.controllers.deployment.loop import DeploymentController

__all__ = ["DeploymentController"]
