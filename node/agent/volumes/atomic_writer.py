"""Files that change all at once, as kubelet's atomic writer lays them out.

    volume/..2026_11_20_17_05_09.123456789/key    the content
    volume/..data -> ..2026_11_20_17_05_09.123456789
    volume/key -> ..data/key

A new version is written aside and `..data` is renamed over: a reader sees the old files or the new, never a
mix. Nothing is touched when nothing changed.
"""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path

from node.agent.volumes.payload import Payload

_DATA = "..data"
_NEW_DATA = "..data_tmp"


def write(volume: Path, payload: Payload) -> bool:
    """Make the volume's content `payload`; say whether it changed."""
    volume.mkdir(parents=True, exist_ok=True)
    link = volume / _DATA
    current = volume / link.readlink() if link.is_symlink() else None
    if current is not None and current.is_dir() and _same(current, payload):
        return False
    fresh = volume / f"..{time.strftime('%Y_%m_%d_%H_%M_%S', time.gmtime())}.{time.time_ns() % 10**9:09d}"
    _fill(fresh, payload)
    new_link = volume / _NEW_DATA
    new_link.unlink(missing_ok=True)
    new_link.symlink_to(fresh.name)
    new_link.rename(link)
    _show(volume, payload)
    _remove_old(volume, fresh.name)
    return True


def _same(current: Path, payload: Payload) -> bool:
    here = {str(each.relative_to(current)) for each in current.rglob("*") if not each.is_dir()}
    if here != payload.keys():
        return False
    for path, file in payload.items():
        existing = current / path
        if existing.stat().st_mode & 0o7777 != file.mode or existing.read_bytes() != file.content:
            return False
    return True


def _fill(directory: Path, payload: Payload) -> None:
    directory.mkdir(mode=0o755)
    for path, file in payload.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch(mode=0o600)
        target.write_bytes(file.content)
        target.chmod(file.mode)


def _show(volume: Path, payload: Payload) -> None:
    """The names users see: links through `..data`; those of files that are gone go too."""
    names = {path.partition("/")[0] for path in payload}
    for name in names:
        if not (volume / name).is_symlink():
            (volume / name).symlink_to(Path(_DATA) / name)
    for entry in volume.iterdir():
        if entry.is_symlink() and not entry.name.startswith("..") and entry.name not in names:
            entry.unlink()


def _remove_old(volume: Path, keep: str) -> None:
    for entry in volume.iterdir():
        if entry.name.startswith("..") and entry.is_dir() and not entry.is_symlink() and entry.name != keep:
            with suppress(OSError):
                shutil.rmtree(entry)
