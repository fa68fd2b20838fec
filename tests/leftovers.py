"""Processes that a cluster has left: its parts are forks of one command, and so all have its environment."""

from __future__ import annotations

from pathlib import Path


def of_cluster(home: Path) -> list[str]:
    """The pids of those whose BALSA_HOME is `home`; our own children that have ended do not count."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"BALSA_HOME={home}\0".encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found
