"""What a hollow pod will do, read from its object. Pure.

Nothing runs, so a pod says by its command what it would do, or by annotations (labels serve as well) what it
is to play:

    hollow.balsa.dev/start-after: 2s      until it runs (default: the process's --start-delay)
    hollow.balsa.dev/run-for: 30s         then it ends; "forever": it never does
    hollow.balsa.dev/exit-code: "1"       with which it ends
    hollow.balsa.dev/ready: "false"       runs, but is never ready
    hollow.balsa.dev/waiting: ImagePullBackOff    never starts, for that reason
    hollow.balsa.dev/stop-after: 10s      what it takes of its grace when it is deleted

Commands that are understood: `sleep N`, `true`, `false`, and a shell's `-c` with those, `exit N` and `echo`.
Anything else runs for ever when it is to be restarted always, and ends well after --run-duration otherwise.
All containers of a pod behave alike: as long as the longest, as badly as the worst.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass

from control_plane.api import meta
from node.agent.pod_spec import Obj, grace_s, main_containers, restart_policy
from store.component.flags import parse_duration

PREFIX = "hollow.balsa.dev/"
START_AFTER, RUN_FOR, EXIT_CODE = PREFIX + "start-after", PREFIX + "run-for", PREFIX + "exit-code"
READY, WAITING, STOP_AFTER = PREFIX + "ready", PREFIX + "waiting", PREFIX + "stop-after"
FOREVER = "forever"

_SHELLS = ("sh", "bash", "ash", "dash")
_SILENT = ("echo", ":", "date", "printf", "set")


@dataclass(frozen=True, slots=True)
class Defaults:
    """Of the process: its flags."""

    start_delay_s: float = 0.0
    run_duration_s: float = 0.5  # of a one-shot pod whose command says nothing
    stop_delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Behaviour:
    start_delay_s: float
    runs_for_s: float | None  # None: until it is deleted
    exit_code: int
    ready: bool
    waiting: str  # the reason for which it never starts; empty: it starts
    stop_delay_s: float
    restarts: bool  # when it ends so


def of(pod: Obj, defaults: Defaults) -> Behaviour:
    """An annotation that cannot be read is ignored."""
    runs_for_s, code = _from_commands(pod, defaults)
    runs_for_s = _run_for(pod, runs_for_s)
    code = _number(said(pod, EXIT_CODE), code)
    policy = restart_policy(pod)
    return Behaviour(
        start_delay_s=_seconds(said(pod, START_AFTER), defaults.start_delay_s),
        runs_for_s=runs_for_s,
        exit_code=code,
        ready=said(pod, READY) != "false",
        waiting=said(pod, WAITING),
        stop_delay_s=min(_seconds(said(pod, STOP_AFTER), defaults.stop_delay_s), grace_s(pod)),
        restarts=policy == "Always" or (policy == "OnFailure" and code != 0),
    )


def said(obj: Obj, key: str) -> str:
    return meta.annotations(obj).get(key) or meta.labels(obj).get(key) or ""


def _run_for(pod: Obj, otherwise_s: float | None) -> float | None:
    text = said(pod, RUN_FOR)
    if text == FOREVER:
        return None
    return _seconds(text, otherwise_s) if text else otherwise_s


def _seconds(text: str, otherwise: float | None) -> float:
    try:
        return parse_duration(text)
    except argparse.ArgumentTypeError:
        return otherwise or 0.0


def _number(text: str, otherwise: int) -> int:
    return int(text) if text.isdigit() else otherwise


# ---- commands


def _from_commands(pod: Obj, defaults: Defaults) -> tuple[float | None, int]:
    """How long, and with which exit code."""
    always = restart_policy(pod) == "Always"
    longest_s, worst = 0.0, 0
    for container in main_containers(pod):
        outcome = command_outcome([*(container.get("command") or ()), *(container.get("args") or ())])
        if outcome is None:
            if always:
                return None, 0
            outcome = defaults.run_duration_s, 0
        seconds, code = outcome
        if seconds == float("inf"):
            return None, 0
        longest_s, worst = max(longest_s, seconds), max(worst, code)
    return longest_s, worst


def command_outcome(words: list[str]) -> tuple[float, int] | None:
    """Seconds and exit code of a command that is understood; None for any other."""
    if not words:
        return None
    program = words[0].rsplit("/", 1)[-1]
    if program in _SHELLS and len(words) >= 3 and words[1].startswith("-") and words[1].endswith("c"):
        return _script_outcome(words[2])
    return _simple_outcome(program, words[1:])


def _script_outcome(script: str) -> tuple[float, int] | None:
    total_s, code = 0.0, 0
    for part in re.split(r"[;\n]|&&", script):
        words = part.split()
        if not words:
            continue
        if words[0] == "exit":
            return total_s, _number(words[1] if len(words) > 1 else "", code)
        outcome = _simple_outcome(words[0].rsplit("/", 1)[-1], words[1:])
        if outcome is None:
            return None
        total_s, code = total_s + outcome[0], outcome[1]
    return total_s, code


def _simple_outcome(program: str, arguments: list[str]) -> tuple[float, int] | None:
    if program == "true" or program in _SILENT:
        return 0.0, 0
    if program == "false":
        return 0.0, 1
    if program == "sleep" and arguments:
        return _sleep_s(arguments[0])
    return None


def _sleep_s(text: str) -> tuple[float, int] | None:
    if text in ("inf", "infinity"):
        return float("inf"), 0
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if match is None:
        return None
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]], 0
