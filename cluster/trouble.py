"""Why a cluster does not come up: processes that end again and again, and their last words."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import Any

from cluster import control
from cluster.errors import ClusterError
from cluster.home import Home

RESTARTS = 3  # a process that ended so often is not coming up by itself
MAX_WORDS = 600
TAIL_BYTES = 64 * 1024
_REASON = re.compile(r'\breason=("(?:[^"\\]|\\.)*"|\S+)')


def failing(home: Home) -> dict[str, str]:
    """Process -> its last words; empty while the supervisor does not answer."""
    return {row["name"]: last_words(home, row["name"]) for row in _rows(home) if _fails(row)}


def hopeless(home: Home) -> str:
    """Why the cluster cannot become ready: every process of some kind fails. Empty: it still can."""
    by_component: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in _rows(home):
        by_component[row["component"]].append(row)
    for rows in by_component.values():
        if all(map(_fails, rows)):
            first = rows[0]["name"]
            return f"{first} cannot start: {last_words(home, first)}"
    return ""


def last_words(home: Home, process: str) -> str:
    """The reason that its log ends with, else its last line."""
    try:
        with home.log_of(process).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return "it left no log"
    for line in reversed(lines):
        if " ERROR " in line and (found := _REASON.search(line)):
            return _unquoted(found[1])[:MAX_WORDS]
    last = next((line.strip() for line in reversed(lines) if line.strip()), "its log is empty")
    return last[:MAX_WORDS]


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(text))
    except ValueError:
        return text.strip('"')


def _fails(row: dict[str, Any]) -> bool:
    return bool(row["restarts"] >= RESTARTS and row["last_exit"].startswith("exit"))


def _rows(home: Home) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = control.call(home, {"op": "status"})["processes"]
    except (ClusterError, KeyError):
        return []
    return found
