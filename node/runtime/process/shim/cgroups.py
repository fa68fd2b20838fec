"""Limits by control groups, version 1 or 2, and what they tell afterwards.

A plan is made by the agent's side (see node/runtime/process/limits.py) and carried out here:
`{"directories": [...], "settings": [[file, value], ...], "oom": file with an oom_kill counter or ""}`.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any

REMOVE_TRIES = 50
REMOVE_PAUSE_S = 0.002  # a group is busy until its last process has been reaped


def create(plan: dict[str, Any]) -> None:
    for directory in plan["directories"]:
        os.makedirs(directory, exist_ok=True)
    for path, value in plan["settings"]:
        with contextlib.suppress(FileNotFoundError), open(path, "w") as file:  # not in every kernel
            file.write(value)


def oom_killed(plan: dict[str, Any]) -> bool:
    if not plan["oom"]:
        return False
    with contextlib.suppress(OSError), open(plan["oom"]) as file:
        for line in file:
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value) > 0
    return False


def remove(plan: dict[str, Any]) -> None:
    for directory in plan["directories"]:
        _remove_group(directory)
        with contextlib.suppress(OSError):
            os.rmdir(os.path.dirname(directory))  # the group of all pods, once the last one is gone


def _remove_group(directory: str) -> None:
    for _ in range(REMOVE_TRIES):
        try:
            os.rmdir(directory)
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(REMOVE_PAUSE_S)
        else:
            return
