"""fsGroup, as far as the agent may: the group of the volume's files, group access, set-gid directories.

Without privileges a file can only be given to one's own groups; then it stays as it is, and since the pod's
processes run as the agent's user they can use it all the same.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from node.agent.pod_spec import Obj

SETGID = 0o2000


def apply(pod: Obj, directory: Path) -> None:
    group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    if group is None or os.geteuid() != 0:
        return
    for path in [directory, *directory.rglob("*")]:
        with suppress(OSError):
            os.lchown(path, -1, int(group))
            if not path.is_symlink():
                mode = path.stat().st_mode & 0o7777
                path.chmod(mode | 0o070 | SETGID if path.is_dir() else mode | (mode & 0o600) >> 3)
