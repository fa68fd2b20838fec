"""Which stores' progress notifications can be believed."""

from __future__ import annotations

import pytest

from control_plane.apiserver.watch_cache.feed import honest_progress


@pytest.mark.parametrize(
    ("version", "honest"),
    [
        ("3.4.23", False),
        ("3.4.31", True),
        ("3.5.0", False),
        ("3.5.12", False),
        ("3.5.13", True),
        ("3.6.0-rc.1", True),
        ("3.6.4+balsa", True),
        ("4", True),
        ("", False),
    ],
)
def test_honest_progress(version: str, honest: bool) -> None:
    assert honest_progress(version) is honest
