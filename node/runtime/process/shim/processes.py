"""What a shim does to processes: start a container, run a command in one, signal, kill.

A process that is the first of its PID namespace never sees a signal it has no handler for: the kernel drops it
(pid_namespaces(7)). Elsewhere the default action would have ended it. `signal_or_default` carries out that
default action, so that a program without a handler ends on SIGTERM instead of after the grace period.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
from typing import Any

from node import linux
from node.runtime.process.shim import cgroups, launch
from node.runtime.process.shim.container import Container
from node.runtime.process.shim.launch import LaunchError

CLONE_PARENT = 0x8000
START_TIMEOUT_MS = 30_000
NO_STDIO = (-1, -1, -1)
MASKS = ("SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt")
NO_DEFAULT_END = (  # signals whose default action does not end a process
    signal.SIGCHLD,
    signal.SIGCONT,
    signal.SIGURG,
    signal.SIGWINCH,
    signal.SIGSTOP,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
)
MAX_WALK = 4096  # processes looked at when killing a tree
MOVE_PASSES = 50  # who still makes new processes by then makes them inside: all their parents were moved


def start_container(container: Container, shm: str, pause_pid: int) -> int:
    """Start the container's first process and return its pid; raises LaunchError."""
    spec = container.spec
    console = Console() if spec["tty"] else None
    stdio = NO_STDIO if console else container.open_pipes()
    reader, status = os.pipe()

    def child() -> None:
        inside = console.inside if console else None
        work = container.directory
        launch.run_child(status, lambda: launch.container_steps(spec, work, shm, stdio, inside))

    try:
        if not spec["isolated"]:
            pid = _fork(child)
        elif pause_pid or spec["host_pid"]:
            pid = _fork_inside(pause_pid, linux.CLONE_NEWNS, child, ("pid",))
        else:
            pid = linux.fork_into(linux.CLONE_NEWNS | linux.CLONE_NEWPID)
            if pid == 0:
                child()
    finally:
        for fd in (status, *stdio):
            if fd >= 0:
                os.close(fd)
        if console:
            console.inside.close()
    try:
        _await_exec(reader, pid)
        if console:
            container.take_terminal(console.master())
    finally:
        if console:
            console.outside.close()
    return pid


def start_exec(container: Container, request: dict[str, Any], stdio: launch.Stdio) -> tuple[int, int]:
    """Run a command inside a running container; returns its pid, and its terminal's master (-1: it has none).
    Raises LaunchError."""
    spec = container.spec | {"argv": request["argv"], "tty": request["tty"]}
    if spec["tty"]:
        spec["env"] = [*spec["env"], *(() if "TERM" in dict(spec["env"]) else (("TERM", "xterm"),))]
    console = Console() if spec["tty"] else None
    reader, status = os.pipe()

    def child() -> None:
        inside = console.inside if console else None
        launch.run_child(status, lambda: launch.exec_steps(spec, stdio, inside))

    try:
        if spec["isolated"]:
            pid = _fork_inside(container.pid, 0, child, launch.NAMESPACES_OF_CONTAINER, spec)
        else:
            pid = _fork(child)
    finally:
        os.close(status)
        if console:
            console.inside.close()
    try:
        _await_exec(reader, pid)
        return pid, console.master() if console else -1
    finally:
        if console:
            console.outside.close()


class Console:
    """How a terminal's master comes out of the container in which the terminal was opened."""

    def __init__(self) -> None:
        self.outside, self.inside = socket.socketpair()

    def master(self) -> int:
        """After the program was started: by then it has been sent."""
        self.outside.settimeout(START_TIMEOUT_MS / 1000)
        _, fds, _, _ = socket.recv_fds(self.outside, 1, 1)
        if not fds:
            raise LaunchError("CreateError", "the terminal was not handed over")
        os.set_blocking(fds[0], False)
        os.set_inheritable(fds[0], False)
        return fds[0]


def start_pause() -> int:
    """The first process of a PID namespace shared by the pod's containers; it reaps what they leave."""
    pid = linux.fork_into(linux.CLONE_NEWPID)
    if pid == 0:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        os.closerange(0, 1024)
        while True:
            signal.pause()
    return pid


def _fork(child: Any) -> int:
    pid = os.fork()
    if pid == 0:
        child()
    return pid


def _fork_inside(
    target: int, flags: int, child: Any, names: tuple[str, ...], spec: dict[str, Any] | None = None
) -> int:
    """Fork a child of ours that lives in the namespaces of process `target`.

    Only a process's children move to another PID namespace, so a short-lived helper enters and forks for us,
    with CLONE_PARENT: what it forks is our child and not its own.
    """
    reader, writer = os.pipe()
    helper = os.fork()
    if helper == 0:
        try:
            if spec is not None:
                launch.join_cgroups(spec)
            if target:
                launch.enter_namespaces(target, names)
            pid = linux.fork_into(flags | CLONE_PARENT)
            if pid == 0:
                child()
            os.write(writer, str(pid).encode())
        except BaseException as error:
            os.write(writer, f"{error}".encode()[:512])
        finally:
            os._exit(0)
    os.close(writer)
    answer = os.read(reader, 1024).decode()
    os.close(reader)
    if not answer.isdigit():
        raise LaunchError("CreateError", f"cannot enter the container: {answer or 'it has ended'}")
    return int(answer)


def _await_exec(reader: int, pid: int) -> None:
    try:
        if not select.select([reader], [], [], START_TIMEOUT_MS / 1000)[0]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            raise LaunchError("StartError", f"not started after {START_TIMEOUT_MS / 1000:.0f} s")
        message = os.read(reader, 8192)
    finally:
        os.close(reader)
    if message:
        report = json.loads(message)
        raise LaunchError(report["kind"], report["error"])


def change_limits(container: Container, plan: dict[str, Any]) -> None:
    """Other limits for a running container; one that had no group until now is moved into its own. Raises
    OSError, BelowUsage."""
    cgroups.refuse_below_usage(plan)
    cgroups.create(plan)
    if container.spec["cgroups"]["directories"] != plan["directories"]:
        _move(container.pid, plan)
    container.spec |= {"cgroups": plan, "cgroup_files": plan["procs"]}


def _move(root: int, plan: dict[str, Any]) -> None:
    """A process that forks between the look and its own move leaves the child outside: look until there is
    nobody new."""
    moved: set[int] = set()
    for _ in range(MOVE_PASSES):
        found = {root, *descendants(root)} - moved
        for pid in found:
            cgroups.enter(plan, pid)
        moved |= found
        if not found:
            return


def signal_or_default(container: Container, number: int) -> bool:
    """Send a signal to the container's first process; see the module's docstring. True: look again soon
    (`recheck`), because the process blocks the signal just now, as shells do for a moment when they fork."""
    if not container.spec["isolated"] or number == signal.SIGKILL or number in NO_DEFAULT_END:
        _kill(container.pid, number)
        return False
    masks = _signal_masks(container.pid)
    bit = 1 << (number - 1)
    if bit & (masks["SigCgt"] | masks["SigIgn"]):
        _kill(container.pid, number)
        return False
    if bit & masks["SigBlk"]:
        _kill(container.pid, number)
        return True
    _carry_out_default(container, number)
    return False


def recheck(container: Container, number: int) -> bool:
    """The signal was blocked when it was sent. Still pending: True. Taken by sigwait, or by a handler set
    meanwhile: nothing to do. Unblocked without a handler: the kernel has dropped it."""
    masks = _signal_masks(container.pid)
    bit = 1 << (number - 1)
    if bit & (masks["ShdPnd"] | masks["SigPnd"]):
        return True
    if not bit & (masks["SigBlk"] | masks["SigCgt"] | masks["SigIgn"]):
        _carry_out_default(container, number)
    return False


def _carry_out_default(container: Container, number: int) -> None:
    container.killed_for = number
    _kill(container.pid, signal.SIGKILL)


def _kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _signal_masks(pid: int) -> dict[str, int]:
    """All ones for a process that has ended: nothing is to be done about it."""
    masks = dict.fromkeys(MASKS, -1)
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name in masks:
                masks[name] = int(value, 16)
    return masks


def kill_everything(container: Container) -> None:
    """SIGKILL the first process and, where no PID namespace does that for us, all that came from it."""
    victims = [container.pid]
    if not container.spec["isolated"] or container.spec["host_pid"] or container.spec["share_pid"]:
        victims += descendants(container.pid)
    for pid in victims:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def kill_tree(root: int) -> None:
    for pid in (*descendants(root), root):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def descendants(root: int) -> list[int]:
    """Children of children, and members of the session, by /proc."""
    parents: dict[int, tuple[int, int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and len(parents) < MAX_WALK:
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
                parents[int(name)] = (int(fields[1]), int(fields[3]))
    found = [pid for pid, (_, session) in parents.items() if session == root and pid != root]
    grown = True
    while grown:
        more = [
            pid
            for pid, (parent, _) in parents.items()
            if pid not in found and (parent == root or parent in found) and pid != root
        ]
        found += more
        grown = bool(more)
    return found
