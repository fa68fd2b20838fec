"""Server-side apply as pure functions: `apply` for an apply patch, `track` for every other write."""

from control_plane.apiserver.patch.apply.manager import apply, track

__all__ = ["apply", "track"]
