"""Server-side apply as pure functions: `apply` for an apply patch, `track_create` and `track` for other writes."""

from control_plane.apiserver.patch.apply.manager import apply
from control_plane.apiserver.patch.apply.tracking import track, track_create

__all__ = ["apply", "track", "track_create"]
