"""job: runs pods until enough of them have succeeded, or too many have failed.

indexes.py    sets of completion indexes, as Jobs write them: "0-2,5"
plan.py       what to count, make and delete next; when the job is over (pure)
loop.py       carries the plan out
"""

from control_plane.controllers.job.loop import JobController

__all__ = ["JobController"]
