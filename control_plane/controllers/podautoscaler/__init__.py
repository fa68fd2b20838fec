"""horizontalpodautoscaler: as many replicas as the measured load asks for.

samples.py    what was measured, and which pods' measurements count (pure)
replicas.py   from measurements and a target to a number of replicas (pure)
behavior.py   how fast that number may be approached: policies and stabilisation windows (pure)
conditions.py what the autoscaler says of itself (pure)
sources.py    asks the three metrics APIs
metrics.py    one metric of the spec: asks, computes, and says what it found
loop.py       the loop
"""

from control_plane.controllers.podautoscaler.loop import HorizontalPodAutoscalerController

__all__ = ["HorizontalPodAutoscalerController"]
