"""What can be wrong with a patch.

    PatchError
    ├── MalformedPatch      the document is no patch of its kind          -> 400 BadRequest
    ├── PatchDoesNotApply   a good patch that this object cannot take     -> 422 Invalid
    └── PatchTooLarge       more operations than the server will run      -> 413 RequestEntityTooLarge

The pure functions of this package raise these; `apply_patch` maps each to a Status once.
"""

from __future__ import annotations


class PatchError(ValueError):
    """Root of everything this package raises by itself."""


class MalformedPatch(PatchError):
    """The body is no patch of the kind that its content type names."""


class PatchDoesNotApply(PatchError):
    """The patch is well formed but this object cannot take it."""


class PatchTooLarge(PatchError):
    """The patch holds more operations than allowed."""
