"""subPath and subPathExpr: one file or directory inside a volume, never outside of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from node.agent import environment
from node.agent.errors import VolumeError
from node.agent.pod_spec import Obj


def resolve(volume: Path, mount: Obj, env: Mapping[str, str]) -> Path:
    """The host's path to mount; a missing directory is made. Links are followed now, and must stay inside."""
    wanted = mount.get("subPath") or _expanded(mount.get("subPathExpr") or "", env)
    if not wanted:
        return volume
    if wanted.startswith("/") or ".." in wanted.split("/"):
        raise VolumeError(f"subPath {wanted!r} must be relative and not contain '..'")
    root = volume.resolve()
    target = (root / wanted).resolve()
    if target != root and root not in target.parents:
        raise VolumeError(f"subPath {wanted!r} is outside of its volume")
    if not target.exists():
        try:
            target.mkdir(parents=True, mode=0o750)
        except OSError as error:
            raise VolumeError(f"failed to create subPath directory for volumeMount: {error}") from error
    return target


def _expanded(text: str, env: Mapping[str, str]) -> str:
    value = environment.expand(text, env)
    if "$(" in value:
        raise VolumeError(f"cannot expand subPathExpr {text!r}: a variable is missing")
    return value
