"""Linux capabilities by name, and the sets that containers get."""

from __future__ import annotations

from collections.abc import Iterable

NAMES = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
]
NUMBERS = {name: number for number, name in enumerate(NAMES)}
ALL = (1 << len(NAMES)) - 1

# containerd's default set without MKNOD: there is no device cgroup here that would stop a node for the host's
# disk from being opened, so it cannot be made in the first place.
DEFAULT = frozenset(
    [
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "SETGID",
        "SETUID",
        "SETPCAP",
        "NET_BIND_SERVICE",
        "NET_RAW",
        "SYS_CHROOT",
        "AUDIT_WRITE",
        "SETFCAP",
    ]
)


def mask_of(names: Iterable[str]) -> int:
    mask = 0
    for name in names:
        mask |= 1 << NUMBERS[name]
    return mask


def container_mask(privileged: bool, add: Iterable[str], drop: Iterable[str]) -> int:
    """The bounding set of a container, by securityContext's rules: drop ALL, then add wins over drop.

    Raises KeyError for an unknown name.
    """
    if privileged:
        return ALL
    added, dropped = [_plain(name) for name in add], [_plain(name) for name in drop]
    mask = ALL if "ALL" in added else mask_of(DEFAULT)
    mask &= 0 if "ALL" in dropped else ~mask_of(dropped)
    return mask | mask_of(name for name in added if name != "ALL")


def _plain(name: str) -> str:
    return name.upper().removeprefix("CAP_")
