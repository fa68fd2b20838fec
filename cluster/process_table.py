"""What /proc knows of the cluster's processes: memory, descendants."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

KILL_TIMEOUT_S = 20.0


def pss_bytes(pid: int) -> int:
    """Proportional set size: private memory and a fair share of what is shared. 0 when it cannot be read."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def descendants(root: int) -> list[int]:
    """All descendants of `root`, parents before children."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            children.setdefault(_parent(entry), []).append(int(entry.name))
    found, queue = [], [root]
    while queue:
        direct = children.get(queue.pop(0), [])
        found += direct
        queue += direct
    return found


def kill_descendants(root: int) -> None:
    """Kill and reap everything below `root`, which must be this process. Orphans come to it one generation at
    a time, hence the rounds."""
    deadline = time.monotonic() + KILL_TIMEOUT_S
    while (left := descendants(root)) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _reap(left)


def _reap(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0
