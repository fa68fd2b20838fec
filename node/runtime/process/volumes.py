"""Volumes of a container that is not isolated: nothing can be mounted, so they are linked.

What the pod mounts at /data is found at $BALSA_VOLUMES/data.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from node.runtime.process.spec import VOLUMES_VARIABLE


def link(directory: Path, launch: dict[str, Any]) -> None:
    """Make the links of a launch spec's mounts and add the variable that tells where they are. A mount below
    another one has no place of its own: the outer link leads into the volume."""
    root = directory / "volumes"
    root.mkdir(parents=True, exist_ok=True)
    linked: list[Path] = []
    for mount in launch["mounts"]:
        place = root / mount["target"].strip("/")
        if any(outer in place.parents for outer in linked):
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(mount["source"])
        linked.append(place)
    launch["env"].append([VOLUMES_VARIABLE, str(root)])
