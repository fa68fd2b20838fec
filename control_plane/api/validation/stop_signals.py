"""The signal that a container is asked to stop with depends on its pod's operating system (KEP-4960)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.api import errors
from control_plane.api.validation.registry import Errors, each_container

_NAMED = (
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL",
    "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1",
    "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX",
)  # fmt: skip
_REAL_TIME = (
    *(f"RTMIN+{number}" for number in range(1, 16)),
    *(f"RTMAX-{number}" for number in range(1, 15)),
)
_OF_SYSTEMS = {
    "linux": sorted(f"SIG{name}" for name in (*_NAMED, *_REAL_TIME)),
    "windows": ["SIGKILL", "SIGTERM"],
}


def stop_signals(path: str, spec: Mapping[str, Any]) -> Errors:
    """Of all containers of a pod."""
    known = _OF_SYSTEMS.get((spec.get("os") or {}).get("name", ""))
    for path_of_one, container in each_container(path, spec):
        signal = (container.get("lifecycle") or {}).get("stopSignal")
        where = f"{path_of_one}.lifecycle.stopSignal"
        if signal is None:
            continue
        if known is None:
            why = "may not be set for containers with empty `spec.os.name`"
            yield errors.forbidden_field(where, why)
        elif signal not in known:
            yield errors.not_supported(where, signal, known)
