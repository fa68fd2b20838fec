"""Measuring this machine: processors, memory, disk, processes, names. From /proc, /sys and /etc."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from node.agent.node_object import Disk, Machine

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def measure(root: Path, images: Path | None = None) -> Machine:
    """`images`: where images are kept, when that may be another filesystem than `root`'s."""
    memory = _meminfo()
    disk = measure_disk(root)
    apart = images is not None and images.is_dir() and images.stat().st_dev != root.stat().st_dev
    return Machine(
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=memory.get("MemTotal", 0),
        available_memory_bytes=memory.get("MemAvailable", 0),
        disk=disk,
        image_disk=measure_disk(images) if apart and images else None,
        max_pids=min(int(_read(f"/proc/sys/kernel/{name}") or 0) for name in ("pid_max", "threads-max")),
        pids=_count_pids(),
        architecture=_ARCHITECTURES.get(platform.machine(), platform.machine()),
        kernel=platform.release(),
        os_image=_os_image(),
        machine_id=_read("/etc/machine-id"),
        system_uuid=_read("/sys/class/dmi/id/product_uuid") or _read("/etc/machine-id"),
        boot_id=_read("/proc/sys/kernel/random/boot_id"),
    )


def measure_disk(path: Path) -> Disk:
    found = os.statvfs(path)
    size, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
    return Disk(size, free, found.f_files, found.f_favail)


def _meminfo() -> dict[str, int]:
    lines = _read("/proc/meminfo").splitlines()
    fields = (line.split() for line in lines)
    return {
        each[0].rstrip(":"): int(each[1]) * 1024 for each in fields if len(each) >= 2 and each[1].isdigit()
    }


def _count_pids() -> int:
    """/proc/loadavg's fourth field: runnable/all scheduling entities."""
    fields = _read("/proc/loadavg").split()
    return int(fields[3].partition("/")[2] or 0) if len(fields) > 3 else 0


def _os_image() -> str:
    for line in _read("/etc/os-release").splitlines():
        key, _, value = line.partition("=")
        if key == "PRETTY_NAME":
            return value.strip('"')
    return platform.system()


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
