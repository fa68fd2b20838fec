"""device-taint-eviction: deletes pods from devices that are tainted.

plan.py   who must go and when, what a rule says of it (pure)
loop.py   informers, keys, writes
"""

from control_plane.controllers.device_taint_eviction.loop import DeviceTaintEvictionController

__all__ = ["DeviceTaintEvictionController"]
