"""Removing what a pod has written, which may be read-only or not ours."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from node.agent.errors import VolumeError


def remove(path: Path) -> None:
    """Remove the tree; absent is fine. Raises VolumeError when something stays."""
    try:
        if path.is_symlink() or path.is_file():
            path.unlink(missing_ok=True)
        elif path.exists():
            shutil.rmtree(path, onerror=_make_writable)
    except FileNotFoundError:
        return
    except OSError as error:
        raise VolumeError(f"cannot remove {path}: {error.strerror}") from error


def _make_writable(function: Callable[..., object], name: str, _why: object) -> None:
    """A directory without the write bit keeps its entries: give it back and try once more."""
    parent = Path(name).parent
    parent.chmod(parent.stat().st_mode | 0o700)
    if Path(name).is_dir() and not Path(name).is_symlink():
        Path(name).chmod(0o700)
        if function is os.scandir or function is os.open or function is os.listdir:
            shutil.rmtree(name)
            return
    function(name)
