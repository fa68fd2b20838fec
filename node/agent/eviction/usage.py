"""What pods use of this machine, measured: memory and processes from /proc, files by their blocks.

A container's writable layer is memory of its own (see the process runtime's rootfs), found in its mount table; a
runtime without one has nothing there. Walking directories can take long: call it from a thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from node.agent import stats
from node.agent.container_files import log_directory
from node.agent.eviction.pressure import Observation, Observations
from node.agent.eviction.ranking import ContainerUse, PodUse
from node.agent.eviction.thresholds import (
    IMAGE_DISK,
    IMAGE_INODES,
    MEMORY,
    NODE_DISK,
    NODE_INODES,
    PIDS,
)
from node.agent.node_object import Disk, Machine
from node.agent.pod_spec import Obj, uid
from node.agent.volumes.empty_dir import PLUGIN as EMPTY_DIR
from node.runtime.interface import ContainerState, ContainerStatus

BLOCK_BYTES = 512  # the unit of st_blocks
MAX_ENTRIES = 200_000  # of one tree; what is larger counts as what was seen of it
NOT_ROOTFS = ("/dev", "/proc", "/sys")


def signals(machine: Machine) -> Observations:
    found = {
        MEMORY: Observation(machine.available_memory_bytes, machine.memory_bytes),
        **_disk(machine.disk, NODE_DISK, NODE_INODES),
        **_disk(machine.image_disk, IMAGE_DISK, IMAGE_INODES),
    }
    if machine.max_pids:
        found[PIDS] = Observation(machine.max_pids - machine.pids, machine.max_pids)
    return found


def _disk(disk: Disk | None, size: str, inodes: str) -> dict[str, Observation]:
    if disk is None:
        return {}
    found = {size: Observation(disk.free_bytes, disk.size_bytes)}
    if disk.inodes:  # some filesystems make them as they are needed
        found[inodes] = Observation(disk.free_inodes, disk.inodes)
    return found


def measure(
    pods: Iterable[tuple[Obj, Sequence[ContainerStatus]]], pods_root: Path, log_root: Path
) -> list[PodUse]:
    processes = stats.read_processes()
    return [_pod(pod, containers, processes, pods_root, log_root) for pod, containers in pods]


def _pod(
    pod: Obj,
    containers: Sequence[ContainerStatus],
    processes: Mapping[int, stats.Process],
    pods_root: Path,
    log_root: Path,
) -> PodUse:
    running = [each for each in containers if each.state is ContainerState.RUNNING and each.pid]
    used: dict[str, ContainerUse] = {}
    inodes = 0
    for status in running:
        usage = stats.usage_of(status.pid, processes)
        log_bytes, files = tree(log_directory(log_root, pod) / status.config.name)
        layer = rootfs_bytes(status)
        used[status.config.name] = ContainerUse(usage.memory_bytes, log_bytes, layer, usage.processes)
        inodes += files
    volumes: dict[str, int] = {}
    in_memory: set[str] = set()
    for volume in (each["name"] for each in pod["spec"].get("volumes") or [] if "emptyDir" in each):
        directory = pods_root / uid(pod) / "volumes" / EMPTY_DIR.directory / volume
        memory = _memory_volume_bytes(running, directory)
        if memory is not None:
            volumes[volume] = memory
            in_memory.add(volume)
        else:
            volumes[volume], files = tree(directory)
            inodes += files
    return PodUse(pod, used, volumes, frozenset(in_memory), inodes)


def tree(root: Path) -> tuple[int, int]:
    """Bytes on disk and number of entries below `root`, links not followed."""
    size = entries = 0
    pending = [str(root)]
    while pending and entries < MAX_ENTRIES:
        with suppress(OSError), os.scandir(pending.pop()) as listing:
            for entry in listing:
                entries += 1
                with suppress(OSError):
                    size += entry.stat(follow_symlinks=False).st_blocks * BLOCK_BYTES
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
    return size, entries


def rootfs_bytes(status: ContainerStatus) -> int:
    """What the container has written outside of its volumes. Its overlays share one upper filesystem."""
    volumes = {each.container_path.rstrip("/") for each in status.config.mounts}
    layers: dict[str, int] = {}
    for point, kind, device, is_whole in _mounts(status.pid):
        if point in volumes or point.startswith(NOT_ROOTFS) or not is_whole:
            continue
        if kind in ("overlay", "tmpfs"):
            layers.setdefault(kind if kind == "overlay" else device, _used_bytes(status.pid, point))
    return sum(layers.values())


def _memory_volume_bytes(running: Sequence[ContainerStatus], directory: Path) -> int | None:
    """None: the directory is on a disk, or nobody has it mounted."""
    for status in running:
        for mount in status.config.mounts:
            if mount.host_path == str(directory):
                kinds = {point: kind for point, kind, _, _ in _mounts(status.pid)}
                path = mount.container_path.rstrip("/")
                if kinds.get(path) == "tmpfs" and not _is_tmpfs(directory):
                    return _used_bytes(status.pid, path)
    return None


def _is_tmpfs(path: Path) -> bool:
    """Whether the state directory itself is kept in memory: then no volume is a filesystem of its own."""
    try:
        device = path.stat().st_dev
    except OSError:
        return False
    name = f"{os.major(device)}:{os.minor(device)}"
    return any(each == name and kind == "tmpfs" for _, kind, each, _ in _mounts(os.getpid()))


def _mounts(pid: int) -> Iterator[tuple[str, str, str, bool]]:
    """Mount point, filesystem type, device, and whether it shows the whole filesystem, which one that was made for
    the container does and a file of the host does not; from proc(5)'s mountinfo."""
    try:
        text = Path(f"/proc/{pid}/mountinfo").read_text()
    except OSError:
        return
    for line in text.splitlines():
        fields = line.split()
        yield fields[4], fields[fields.index("-") + 1], fields[2], fields[3] == "/"


def _used_bytes(pid: int, point: str) -> int:
    try:
        found = os.statvfs(f"/proc/{pid}/root{point}")
    except OSError:
        return 0
    return (found.f_blocks - found.f_bfree) * found.f_frsize
