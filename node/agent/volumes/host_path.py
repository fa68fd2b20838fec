"""hostPath: a path of the node, checked or made as its type asks. It is never removed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from node.agent.errors import VolumeError
from node.agent.volumes.interface import Request, Volume

_CHECKS: dict[str, tuple[Callable[[Path], bool], str]] = {
    "Directory": (Path.is_dir, "a directory"),
    "DirectoryOrCreate": (Path.is_dir, "a directory"),
    "File": (Path.is_file, "a file"),
    "FileOrCreate": (Path.is_file, "a file"),
    "Socket": (Path.is_socket, "a socket file"),
    "CharDevice": (Path.is_char_device, "a character device"),
    "BlockDevice": (Path.is_block_device, "a block device"),
}


class HostPathVolume:
    field = "hostPath"
    directory = "kubernetes.io~host-path"
    changes = False

    async def set_up(self, request: Request) -> Volume:
        path = Path(request.source["path"])
        check(path, request.source.get("type") or "")
        return Volume(path)

    async def tear_down(self, directory: Path) -> None:
        """The path belongs to the node."""


def check(path: Path, kind: str) -> None:
    try:
        if kind == "DirectoryOrCreate":
            path.mkdir(mode=0o755, parents=True, exist_ok=True)
        elif kind == "FileOrCreate":
            path.touch(mode=0o644, exist_ok=True)
    except OSError as error:
        raise VolumeError(f"hostPath type check failed: {path}: {error.strerror}") from error
    if kind and kind not in _CHECKS:
        raise VolumeError(f"hostPath type check failed: unknown type {kind}")
    if kind and not _CHECKS[kind][0](path):
        raise VolumeError(f"hostPath type check failed: {path} is not {_CHECKS[kind][1]}")


PLUGIN = HostPathVolume()
