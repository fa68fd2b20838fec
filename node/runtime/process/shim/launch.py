"""From a cloned child to the container's own program.

Everything here runs in a child of the shim, between clone and exec. It ends in exec or in `os._exit`: what
went wrong is written, as JSON, to a close-on-exec status pipe, whose end without a message is success.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import resource
import signal
import socket
import termios
from collections.abc import Callable
from typing import Any

from node import linux
from node.runtime.process.shim import capabilities
from node.runtime.process.shim.rootfs import Tree

EXIT_START_ERROR = 128  # what the kubelet shows for a program that could not be started
NAMESPACES_OF_CONTAINER = ("mnt", "pid", "user")  # user last: what we may do to the others ends with it

Stdio = tuple[int, int, int]


class LaunchError(Exception):
    """`kind` is CreateError (the configuration cannot be carried out) or StartError (the program)."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def run_child(status: int, steps: Callable[[], None]) -> None:
    """Run `steps`, which end in exec. Never returns."""
    try:
        steps()
    except LaunchError as error:
        _report(status, error.kind, str(error))
    except BaseException as error:
        _report(status, "CreateError", f"{type(error).__name__}: {error}")
    finally:
        os._exit(EXIT_START_ERROR)


def _report(status: int, kind: str, message: str) -> None:
    with contextlib.suppress(OSError):
        os.write(status, json.dumps({"kind": kind, "error": message}).encode()[:4096])


def container_steps(
    spec: dict[str, Any], work: str, shm: str, stdio: Stdio, console: socket.socket | None
) -> None:
    os.setsid()
    join_cgroups(spec)
    if spec["isolated"]:
        Tree(spec, work, shm).enter()
    become(spec, terminal(spec, console) if console else stdio, in_own_user_namespace=False)


def exec_steps(spec: dict[str, Any], stdio: Stdio, console: socket.socket | None) -> None:
    os.setsid()
    become(spec, terminal(spec, console) if console else stdio, in_own_user_namespace=True)


def terminal(spec: dict[str, Any], console: socket.socket) -> Stdio:
    """A new terminal for our standard streams. It is opened here, inside, so that it has a name in the
    container's /dev/pts; its master goes to the shim."""
    master, slave = os.openpty()
    with contextlib.suppress(OSError):
        os.fchown(slave, spec["uid"], spec["gid"])
    socket.send_fds(console, [b"0"], [master])
    os.close(master)
    return slave, slave, slave


def join_cgroups(spec: dict[str, Any]) -> None:
    for path in spec["cgroup_files"]:
        with contextlib.suppress(OSError), open(path, "w") as file:
            file.write("0")


def enter_namespaces(pid: int, names: tuple[str, ...]) -> None:
    """Join the named namespaces of process `pid`; the PID namespace is joined by the
    children of the caller."""
    fds = []
    for name in names:
        path = f"/proc/{pid}/ns/{name}"
        if os.readlink(path) != os.readlink(f"/proc/self/ns/{name}"):
            fds.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    for fd in fds:
        linux.setns(fd)


def become(spec: dict[str, Any], stdio: Stdio, in_own_user_namespace: bool) -> None:
    """Take on identity, limits and standard streams, then exec."""
    for number, fd in enumerate(stdio):
        os.dup2(fd, number)
    _set_limits(spec)
    if spec["tty"]:
        _take_terminal()
    os.umask(0o022)
    _enter_working_directory(spec["cwd"], may_make_it=spec["isolated"])
    if spec["isolated"]:
        _take_identity(spec, in_own_user_namespace)
    else:
        _take_host_identity(spec)
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    _reset_signals()
    _execute(spec["argv"], dict(spec["env"]))


def _set_limits(spec: dict[str, Any]) -> None:
    for name, value in spec["rlimits"].items():
        with contextlib.suppress(OSError, ValueError):
            number = getattr(resource, name)
            _, hard = resource.getrlimit(number)
            limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(number, (limit, limit))
    if spec["oom_score_adj"]:
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(spec["oom_score_adj"]))  # lowering it needs CAP_SYS_RESOURCE


def _take_terminal() -> None:
    with contextlib.suppress(OSError):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _enter_working_directory(path: str, may_make_it: bool) -> None:
    try:
        if may_make_it:  # nothing is made on the host
            os.makedirs(path, exist_ok=True)
        os.chdir(path)
    except OSError as error:
        raise LaunchError("CreateError", f"cannot enter the working directory {path!r}: {error}") from error


def _take_identity(spec: dict[str, Any], in_own_user_namespace: bool) -> None:
    with contextlib.suppress(OSError):
        linux.join_new_session_keyring()
    if spec["user_namespace"] and not in_own_user_namespace:
        _take_ids_by_mapping(spec["uid"], spec["gid"])
    mask: int = spec["capabilities"]
    _drop_bounding_set(mask)
    if not spec["user_namespace"]:
        os.setgroups(spec["groups"])
        os.setresgid(spec["gid"], spec["gid"], spec["gid"])
        os.setresuid(spec["uid"], spec["uid"], spec["uid"])
    linux.prctl(linux.PR_CAP_AMBIENT, linux.PR_CAP_AMBIENT_CLEAR_ALL)
    held = mask & linux.effective_capabilities() if spec["uid"] == 0 else 0
    linux.set_capabilities(held, held, 0)
    if spec["no_new_privs"]:
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)


def _take_host_identity(spec: dict[str, Any]) -> None:
    """Without namespaces only root can become someone else; an ordinary user's pods are all that user's."""
    if os.geteuid() == 0 and (spec["uid"], spec["gid"]) != (0, 0):
        os.setgroups(spec["groups"])
        os.setresgid(spec["gid"], spec["gid"], spec["gid"])
        os.setresuid(spec["uid"], spec["uid"], spec["uid"])
    if spec["no_new_privs"]:
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)


def _take_ids_by_mapping(uid: int, gid: int) -> None:
    """Only one user exists in the cluster's user namespace; another id is the same user under a new name."""
    if uid == 0 and gid == 0:
        return
    linux.unshare(linux.CLONE_NEWUSER)
    for name, line in (("uid_map", f"{uid} 0 1"), ("gid_map", f"{gid} 0 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(line)


def _drop_bounding_set(mask: int) -> None:
    for number in range(len(capabilities.NAMES)):
        if not mask >> number & 1:
            try:
                linux.prctl(linux.PR_CAPBSET_DROP, number)
            except OSError as error:
                if error.errno != errno.EINVAL:  # a kernel that does not know this capability
                    raise


def _reset_signals() -> None:
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _execute(argv: list[str], env: dict[str, str]) -> None:
    name = argv[0]
    program = name if "/" in name else _find(name, env.get("PATH", ""))
    try:
        os.execve(program, argv, env)
    except FileNotFoundError as error:
        raise LaunchError("StartError", f'exec: "{name}": no such file or directory') from error
    except OSError as error:
        raise LaunchError("StartError", f'exec: "{name}": {(error.strerror or "").lower()}') from error


def _find(name: str, search_path: str) -> str:
    """As container runtimes look a program up: what may not be executed, or looked into, is passed over."""
    for directory in search_path.split(":"):
        candidate = f"{directory or '.'}/{name}"
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    raise LaunchError("StartError", f'exec: "{name}": executable file not found in $PATH')
