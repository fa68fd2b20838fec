"""The Linux system calls that Python 3.11's `os` lacks, each raising OSError.

Only the standard library is used and nothing is loaded lazily: the pod shim imports this before it leaves the
host's filesystem. The numbers are the kernel's ABI (include/uapi/linux/{sched,mount,prctl,capability}.h).
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000
MNT_DETACH = 0x2

PR_SET_PDEATHSIG = 1
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15

MOUNT_ATTR_RDONLY = 0x1
AT_FDCWD = -100
AT_RECURSIVE = 0x8000
KEYCTL_JOIN_SESSION_KEYRING = 1

_NUMBERS = {  # clone, pivot_root, keyctl
    "x86_64": (56, 155, 250),
    "aarch64": (220, 41, 219),
    "riscv64": (220, 41, 219),
}
_SYS_CLONE, _SYS_PIVOT_ROOT, _SYS_KEYCTL = _NUMBERS.get(platform.machine(), (-1, -1, -1))
_SYS_MOUNT_SETATTR = 442

_libc = ctypes.CDLL(None, use_errno=True)
_libc_with_gil = ctypes.PyDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def setns(fd: int, kind: int = 0) -> None:
    """Move the calling thread into the namespace behind `fd`."""
    _check(_libc.setns(fd, ctypes.c_int(kind)), "setns")


def fork_into(flags: int) -> int:
    """`os.fork()` whose child starts in the new namespaces of `flags`, and is our own child.

    unshare(CLONE_NEWPID) followed by fork() would do for one child only: a process can change the namespace
    of its children once. The interpreter is told with the C API made for it.
    """
    ctypes.pythonapi.PyOS_BeforeFork()
    pid = _libc_with_gil.syscall(_SYS_CLONE, ctypes.c_ulong(flags | signal.SIGCHLD), 0, 0, 0, 0)
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        return 0
    number = ctypes.get_errno()
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(number, f"clone: {os.strerror(number)}")
    return int(pid)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


def mount(source: str | None, target: str, kind: str | None, flags: int = 0, options: str = "") -> None:
    result = _libc.mount(
        _bytes(source), _bytes(target), _bytes(kind), ctypes.c_ulong(flags), _bytes(options or None)
    )
    _check(result, f"mount {kind or source or 'flags'} on {target}")


def umount(target: str, flags: int = 0) -> None:
    _check(_libc.umount2(_bytes(target), flags), f"umount {target}")


def pivot_root(new_root: str, put_old: str) -> None:
    _check(_libc.syscall(_SYS_PIVOT_ROOT, _bytes(new_root), _bytes(put_old)), "pivot_root")


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def make_read_only(path: str, recursive: bool = True) -> None:
    """Make the mount at `path`, and those below it, read-only (Linux 5.12; locked flags are kept)."""
    attr = _MountAttr(attr_set=MOUNT_ATTR_RDONLY)
    flags = AT_RECURSIVE if recursive else 0
    result = _libc.syscall(
        _SYS_MOUNT_SETATTR, AT_FDCWD, _bytes(path), flags, ctypes.byref(attr), ctypes.sizeof(attr)
    )
    _check(result, f"mount_setattr {path}")


def prctl(option: int, value: int = 0) -> int:
    return _check(
        _libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)),
        f"prctl {option}",
    )


def prctl_name(name: str) -> None:
    """The name that ps and /proc/<pid>/comm show, at most 15 bytes."""
    _check(_libc.prctl(PR_SET_NAME, name.encode()[:15], 0, 0, 0), "prctl")


def set_capabilities(effective: int, permitted: int, inheritable: int) -> None:
    """capset() for the calling thread; each argument is a 64-bit mask."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this thread
    low, high = 0xFFFFFFFF, 32
    data = (ctypes.c_uint32 * 6)(
        effective & low,
        permitted & low,
        inheritable & low,
        effective >> high,
        permitted >> high,
        inheritable >> high,
    )
    _check(_libc.capset(header, data), "capset")


def join_new_session_keyring() -> None:
    _check(_libc.syscall(_SYS_KEYCTL, KEYCTL_JOIN_SESSION_KEYRING, None), "keyctl")


def enter_user_namespace(extra_flags: int = 0) -> None:
    """Become root of a new user namespace that maps only our own user and group.

    The process must have one thread. Writing the group map needs setgroups to be given up first
    (user_namespaces(7)).
    """
    uid, gid = os.geteuid(), os.getegid()
    unshare(CLONE_NEWUSER | extra_flags)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def effective_capabilities() -> int:
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith("CapEff:"):
                return int(line.split()[1], 16)
    return 0


CAP_SYS_ADMIN = 21
CAP_NET_ADMIN = 12


def is_capable(*capabilities: int) -> bool:
    mask = effective_capabilities()
    return all(mask >> number & 1 for number in capabilities)
