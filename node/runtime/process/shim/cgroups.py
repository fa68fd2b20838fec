"""Limits by control groups, version 1 or 2, and what they tell afterwards.

A plan is made by the agent's side (see node/runtime/process/limits.py) and carried out here:
`{"directories": the container's, "parents": what goes with the last one in it, "settings": [[file, value], ...],
"oom": file with an oom_kill counter or "", "procs": files that take a process in,
"bounds": [["pod" or "", memory limit in bytes, file with what is used, file with inactive_file], ...]}`.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any

REMOVE_TRIES = 50
REMOVE_PAUSE_S = 0.002  # a group is busy until its last process has been reaped


class BelowUsage(Exception):
    """A memory limit that is exceeded already: `LIMIT USAGE`, in bytes, with `pod` before it if it is the pod's."""


def refuse_below_usage(plan: dict[str, Any]) -> None:
    """The kernel would kill the container, or refuse without saying by how much. What it could take back at once
    (inactive pages of files) does not count."""
    for of, limit, current, stat in plan["bounds"]:
        if not limit:
            continue
        with contextlib.suppress(FileNotFoundError):  # no group yet: nothing was limited
            with open(current) as file:
                used = int(file.read())
            used -= _field(stat, "total_inactive_file") or _field(stat, "inactive_file")
            if used > limit:
                raise BelowUsage(f"{of} {limit} {used}".strip())


def enter(plan: dict[str, Any], pid: int) -> None:
    for path in plan["procs"]:
        with contextlib.suppress(ProcessLookupError), open(path, "w") as file:
            file.write(str(pid))


def create(plan: dict[str, Any]) -> None:
    for directory in plan["directories"]:
        os.makedirs(directory, exist_ok=True)
    for path, value in plan["settings"]:
        with contextlib.suppress(FileNotFoundError), open(path, "w") as file:  # not in every kernel
            file.write(value)


def oom_killed(plan: dict[str, Any]) -> bool:
    return bool(plan["oom"]) and _field(plan["oom"], "oom_kill") > 0


def _field(path: str, wanted: str) -> int:
    """One number of a file of `name number` lines; 0 where there is none."""
    with contextlib.suppress(OSError), open(path) as file:
        for line in file:
            name, _, value = line.partition(" ")
            if name == wanted:
                return int(value)
    return 0


def remove(plan: dict[str, Any]) -> None:
    for directory in plan["directories"]:
        _remove_group(directory)
    for directory in plan["parents"]:
        with contextlib.suppress(OSError):  # others are in it
            os.rmdir(directory)


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
