"""garbage-collector: deletes what nobody owns any more, and carries out foreground and orphan deletion.

graph.py      who owns whom, over every kind (pure)
verdict.py    what to do with one object, given which of its owners are left (pure)
loop.py       watches every kind's metadata, asks the API before it acts
"""

from control_plane.controllers.garbage_collector.loop import GarbageCollector

__all__ = ["GarbageCollector"]
