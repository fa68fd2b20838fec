"""job: runs pods until enough of them have succeeded, or too many have failed.

indexes.py         sets of completion indexes, as Jobs write them: "0-2,5"
counting.py        what has ended, without loss (pure)
failure_policy.py  what the failure of one pod means (pure)
success_policy.py  whether enough indexes have succeeded (pure)
backoff.py         how long the next pod waits after failures (pure)
per_index.py       failures and limits of each index (pure)
plan.py            what to make and delete next; when the job is over (pure)
status.py          what the job says of itself (pure)
loop.py            carries the plan out
"""

from control_plane.controllers.job.loop import JobController

__all__ = ["JobController"]
