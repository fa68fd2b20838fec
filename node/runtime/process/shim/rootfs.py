"""The file tree a container sees, built inside its own new mount namespace.

Two kinds of root. An image's: its unpacked tree under an overlay. The host's: a tmpfs in which each of the
host's top-level directories appears under an overlay of its own (one overlay of / cannot be made in a user
namespace when something is mounted below it, one per directory mostly can; where not, its children are tried,
and what still cannot be overlaid is bound read-only). Either way writes go to a bounded tmpfs that nothing
outside can see and that vanishes with the namespace, and these are the container's own: /proc, /sys
(read-only), /dev, /tmp, /run, /var/tmp, and the files of /etc that the pod brings.

`hidden` paths (the state directory above all) are covered in the host's view and in every volume that would
show them. Targets are resolved only after pivot_root, so that a symbolic link of the tree cannot lead a mount
out of it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Any

from node import linux

MAX_CHILDREN = 64  # of a directory that is overlaid child by child
MAX_DEPTH = 3
OWN_TOP_LEVEL = ("proc", "sys", "dev", "tmp", "run", "lost+found")
OWN_TMPFS = (("tmp", "1777"), ("run", "755"), ("var/tmp", "1777"))
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
MASKED = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sysrq-trigger",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
]
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"]
OLD_ROOT = ".host"
ROOT_KINDS = ("overlay", "tmpfs")
MAX_DATA_MOUNTS = 32  # of the host's other disks that are shown
SAFE = linux.MS_NOSUID | linux.MS_NODEV


class Tree:
    """One container's tree. `spec` is the container's launch spec (see spec.py of the runtime)."""

    def __init__(self, spec: dict[str, Any], work: str, shm: str) -> None:
        self.spec = spec
        self.new = work + "/rootfs"
        self.layers = work + "/layers"
        self.shm = shm
        self.options = ",userxattr" if spec["user_namespace"] else ""
        self.count = 0
        self.read_only: set[str] = set()  # paths that could only be bound

    def enter(self) -> None:
        """Build the tree and make it the root of this process."""
        sources = [os.open(mount["source"], os.O_PATH) for mount in self.spec["mounts"]]
        linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)
        self._mount_tmpfs(self.layers, "700", f"size={self.spec['writable_bytes']}")
        if self.spec["rootfs"]:
            self._overlay(self.spec["rootfs"], self.new)
        else:
            self._mount_tmpfs(self.new, "755", f"size={self.spec['writable_bytes']}")
            self._project_host()
        self._mount_own_directories()
        os.makedirs(f"{self.new}/{OLD_ROOT}", exist_ok=True)
        linux.pivot_root(self.new, f"{self.new}/{OLD_ROOT}")
        os.chdir("/")
        self._hide("", "/")
        self._place_etc_files()
        root_mounts = [point for point, kind in _mounts_below("/" + OLD_ROOT) if kind in ROOT_KINDS]
        volumes = [
            self._mount_volume(mount, source)
            for mount, source in zip(self.spec["mounts"], sources, strict=True)
        ]
        linux.umount("/" + OLD_ROOT, linux.MNT_DETACH)
        os.rmdir("/" + OLD_ROOT)
        if self.spec["read_only_root"]:
            for point in root_mounts:
                if point not in volumes and not point.startswith("/dev"):
                    _remount_read_only(point)
        if not self.spec["privileged"]:
            self._mask_kernel_files()

    # the host's view

    def _project_host(self) -> None:
        for entry in os.scandir("/"):
            if entry.is_symlink():
                os.symlink(os.readlink(entry.path), f"{self.new}/{entry.name}")
            elif entry.is_dir() and entry.name not in OWN_TOP_LEVEL:
                self._project(entry.path, MAX_DEPTH)
        for point in _data_mounts():
            if os.path.isdir(self.new + point) and not self._is_hidden(point):
                with contextlib.suppress(OSError):
                    self._overlay(point, self.new + point)

    def _project(self, path: str, depth: int) -> None:
        target = self.new + path
        os.makedirs(target, exist_ok=True)
        try:
            self._overlay(path, target)
            return
        except OSError:
            children = _children(path) if depth else None
        if children is None:
            self._bind_read_only(path, target)
            return
        for child in children:
            if child.is_symlink():
                os.symlink(os.readlink(child.path), self.new + child.path)
            elif child.is_dir():
                self._project(child.path, depth - 1)
            elif child.is_file():
                self._bind_read_only(child.path, self.new + child.path)

    def _overlay(self, lower: str, target: str) -> None:
        self.count += 1
        layer = f"{self.layers}/{self.count}"
        os.makedirs(layer + "/upper")
        os.mkdir(layer + "/work")
        status = os.stat(lower)
        os.chmod(layer + "/upper", stat.S_IMODE(status.st_mode))
        with contextlib.suppress(OSError):  # an owner that has no name in this user namespace
            os.chown(layer + "/upper", status.st_uid, status.st_gid)
        os.makedirs(target, exist_ok=True)
        options = f"lowerdir={_escaped(lower)},upperdir={layer}/upper,workdir={layer}/work{self.options}"
        linux.mount("overlay", target, "overlay", linux.MS_NODEV, options)

    def _bind_read_only(self, path: str, target: str) -> None:
        if os.path.isdir(path):
            os.makedirs(target, exist_ok=True)
        else:
            _touch(target)
        with contextlib.suppress(OSError):  # it stays an empty mount point rather than a writable one
            linux.mount(path, target, None, linux.MS_BIND | linux.MS_REC)
            linux.make_read_only(target)
            self.read_only.add(path)

    # what is the container's own

    def _mount_own_directories(self) -> None:
        for name, mode in OWN_TMPFS if not self.spec["rootfs"] else ():
            self._mount_tmpfs(f"{self.new}/{name}", mode, f"size={self.spec['writable_bytes']}")
        for name in ("proc", "sys", "dev"):
            os.makedirs(f"{self.new}/{name}", exist_ok=True)
        self._mount_kernel("proc", linux.MS_NOEXEC | SAFE)
        read_only = 0 if self.spec["privileged"] else linux.MS_RDONLY
        self._mount_kernel("sys", linux.MS_NOEXEC | SAFE | read_only)
        self._mount_dev(f"{self.new}/dev")
        if not os.path.exists(self.new + "/var/run") and not os.path.islink(self.new + "/var/run"):
            os.makedirs(self.new + "/var", exist_ok=True)
            os.symlink("/run", self.new + "/var/run")

    def _mount_kernel(self, name: str, flags: int) -> None:
        target = f"{self.new}/{name}"
        try:
            linux.mount(name, target, "proc" if name == "proc" else "sysfs", flags)
        except OSError:  # not ours to mount: the host's PID or network namespace, or a masked /proc
            if name == "proc" and not self.spec["host_pid"]:
                raise
            linux.mount("/" + name, target, None, linux.MS_BIND | linux.MS_REC)
            linux.make_read_only(target)

    def _mount_dev(self, dev: str) -> None:
        linux.mount("tmpfs", dev, "tmpfs", linux.MS_NOSUID, "mode=755,size=64k")
        for name in DEVICES:
            _touch(f"{dev}/{name}")
            linux.mount(f"/dev/{name}", f"{dev}/{name}", None, linux.MS_BIND)
        os.mkdir(dev + "/pts")
        options = "newinstance,ptmxmode=0666,mode=0620"
        linux.mount("devpts", dev + "/pts", "devpts", linux.MS_NOSUID | linux.MS_NOEXEC, options)
        os.mkdir(dev + "/shm")
        linux.mount(self.shm, dev + "/shm", None, linux.MS_BIND)
        os.mkdir(dev + "/mqueue")
        with contextlib.suppress(OSError):
            linux.mount("mqueue", dev + "/mqueue", "mqueue", linux.MS_NOEXEC | SAFE)
        links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0"}
        links |= {"stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}
        for name, to in links.items():
            os.symlink(to, f"{dev}/{name}")

    def _mount_tmpfs(self, target: str, mode: str, options: str) -> None:
        os.makedirs(target, exist_ok=True)
        linux.mount("tmpfs", target, "tmpfs", SAFE, f"mode={mode},{options}")

    # after pivot_root

    def _place_etc_files(self) -> None:
        for path, text in self.spec["etc_files"].items():
            os.makedirs(os.path.dirname(path), exist_ok=True)
            try:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
                _write(path, text)
            except OSError:  # bound read-only: cover it instead
                copy = "/dev/.etc"
                _write(copy, text)
                linux.mount(copy, path, None, linux.MS_BIND)
                os.unlink(copy)

    def _mount_volume(self, mount: dict[str, Any], source: int) -> str:
        target: str = os.path.realpath(mount["target"])
        is_directory = stat.S_ISDIR(os.stat(source).st_mode)
        if not os.path.exists(target):
            if is_directory:
                os.makedirs(target)
            else:
                os.makedirs(os.path.dirname(target), exist_ok=True)
                _touch(target)
        linux.mount(f"/proc/self/fd/{source}", target, None, linux.MS_BIND | linux.MS_REC)
        os.close(source)
        if is_directory:
            self._hide(mount["source"], target)
        self._restrict(target, mount["read_only"])
        return target

    def _restrict(self, target: str, read_only: bool) -> None:
        if read_only:
            linux.make_read_only(target)
        with contextlib.suppress(OSError):  # locked flags of a mount inherited by a user namespace
            flags = linux.MS_REMOUNT | linux.MS_BIND | SAFE | (linux.MS_RDONLY if read_only else 0)
            linux.mount(None, target, None, flags)

    def _hide(self, source: str, target: str) -> None:
        """Cover the hidden paths that lie below host path `source`, which is seen at `target`."""
        for path in self.spec["hidden"]:
            if not path.startswith(source.rstrip("/") + "/") or path == source:
                continue
            seen = target.rstrip("/") + "/" + path[len(source.rstrip("/")) + 1 :]
            if os.path.islink(seen) or not os.path.exists(seen):
                continue
            if os.path.isdir(seen):
                linux.mount("tmpfs", seen, "tmpfs", SAFE | linux.MS_RDONLY, "mode=700,size=4k")
            else:
                linux.mount("/dev/null", seen, None, linux.MS_BIND)

    def _is_hidden(self, path: str) -> bool:
        return any(path == hidden or path.startswith(hidden + "/") for hidden in self.spec["hidden"])

    def _mask_kernel_files(self) -> None:
        for path in MASKED:
            if os.path.isdir(path):
                linux.mount("tmpfs", path, "tmpfs", SAFE | linux.MS_RDONLY, "size=4k")
            elif os.path.exists(path):
                linux.mount("/dev/null", path, None, linux.MS_BIND)
        for path in READ_ONLY:
            if os.path.exists(path):
                linux.mount(path, path, None, linux.MS_BIND | linux.MS_REC)
                linux.make_read_only(path)


def _remount_read_only(point: str) -> None:
    flags = linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | linux.MS_NODEV
    try:
        linux.mount(None, point, None, flags)
    except OSError:  # in a user namespace the flags of a locked mount must be repeated
        linux.mount(None, point, None, flags | linux.MS_NOSUID)


def _children(path: str) -> list[os.DirEntry[str]] | None:
    """The entries of a directory small enough to be taken one by one, else None."""
    if not os.path.isdir(path):
        return None
    entries = list(os.scandir(path))
    return entries if len(entries) <= MAX_CHILDREN else None


def _data_mounts() -> list[str]:
    """Where the host has other disks mounted, outermost first: an overlay of / does not show them."""
    kinds = ("ext4", "ext3", "ext2", "xfs", "btrfs", "zfs", "nfs", "nfs4", "f2fs", "bcachefs", "fuseblk")
    points = [point for point, kind in _mounts_below() if kind in kinds and point != "/"]
    top = {"/" + name for name in OWN_TOP_LEVEL}
    shown = (point for point in points if "/" + point.split("/")[1] not in top and point.count("/") > 1)
    return sorted(shown)[:MAX_DATA_MOUNTS]


def _mounts_below(skip: str = "") -> list[tuple[str, str]]:
    """(mount point, file system) of this mount namespace, in the order of mounting."""
    found = []
    with open("/proc/self/mountinfo") as file:
        for line in file:
            fields = line.split(" ")
            point = _unescaped(fields[4])
            if not (skip and (point == skip or point.startswith(skip + "/"))):
                found.append((point, fields[fields.index("-") + 1]))
    return found


def _unescaped(path: str) -> str:
    """mountinfo writes these as octal (a codec would be imported when the interpreter's files are gone)."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, character)
    return path


def _escaped(path: str) -> str:
    return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")


def _touch(path: str) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
