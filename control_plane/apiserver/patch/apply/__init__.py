"""Server-side apply: `apply` for an apply patch, `track_create` and `track` for other writes.

Nothing here waits, but for conversions to other versions, which the caller makes (`Show`).
"""

from control_plane.apiserver.patch.apply.manager import apply
from control_plane.apiserver.patch.apply.tracking import track, track_create
from control_plane.apiserver.patch.apply.versions import Show, Shown

__all__ = ["Show", "Shown", "apply", "track", "track_create"]
