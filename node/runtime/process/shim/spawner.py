"""The spawner: a small interpreter that has imported the shim once and forks one shim per pod.

Its standard input is a SOCK_SEQPACKET connection to the agent. A message is JSON with descriptors:

    {"shim": directory} + a pipe and the sandbox's bound socket; the shim writes `ready` or what went wrong
    {"probe": directory} + a pipe, on which a child writes what the kernel allows (see probe.py)

It ends when the agent does; the shims it forked go on.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import traceback
from typing import Any

from node import linux
from node.runtime.process.shim import processes, server
from node.runtime.process.shim.probe import probe

MAX_MESSAGE_BYTES = 64 * 1024
LISTEN_BACKLOG = 64


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps; shims that outlive us go to init
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    agent = socket.socket(fileno=os.dup(0))
    with open(os.devnull, "r+b") as null:
        for number in (0, 1):
            os.dup2(null.fileno(), number)
    gc.collect()
    gc.freeze()
    while True:
        message, fds, _, _ = socket.recv_fds(agent, MAX_MESSAGE_BYTES, 2)
        if not message:
            return
        for fd in fds:
            os.set_inheritable(fd, False)
        if fds and os.fork() == 0:
            agent.close()
            os._exit(_child(json.loads(message), fds))
        for fd in fds:
            os.close(fd)


def _child(request: dict[str, Any], fds: list[int]) -> int:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if "shim" in request:
        return _shim(request["shim"], fds[1], fds[0])
    with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
        os.write(fds[0], json.dumps(probe(request["probe"])).encode())
    return 0


def _shim(directory: str, listener: int, ready: int) -> int:
    """The life of one shim, from fork to exit."""
    try:
        os.setsid()
        with open(directory + "/shim.log", "ab") as log:
            os.dup2(log.fileno(), 2)
        door = socket.socket(fileno=listener)
        shim = _prepare(directory, door)
        door.listen(LISTEN_BACKLOG)  # here, so that SO_PEERCRED names the shim
        os.write(ready, b"ready")
    except BaseException as error:
        os.write(ready, f"{type(error).__name__}: {error}".encode()[:2048])
        return 1
    finally:
        os.close(ready)
    try:
        shim.run()
        return 0
    except BaseException:
        os.write(2, traceback.format_exc().encode())
        return 1


def _prepare(directory: str, listener: socket.socket) -> server.Shim:
    with open(directory + "/shim.json") as file:
        config: dict[str, Any] = json.load(file)
    linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
    lifeline = os.pidfd_open(config["lifeline_pid"]) if config["lifeline_pid"] else -1
    if config["isolated"]:
        _enter_namespaces(directory, config)
    pause = processes.start_pause() if config["share_pid"] and config["isolated"] else 0
    return server.Shim(directory, listener, pause, lifeline)


def _enter_namespaces(directory: str, config: dict[str, Any]) -> None:
    if config["own_user_namespace"]:
        linux.enter_user_namespace()
    if config["netns_path"]:
        namespace = os.open(config["netns_path"], os.O_RDONLY | os.O_CLOEXEC)
        linux.setns(namespace, linux.CLONE_NEWNET)
        os.close(namespace)
    linux.unshare(linux.CLONE_NEWUTS | linux.CLONE_NEWIPC | linux.CLONE_NEWNS)
    socket.sethostname(config["hostname"])
    linux.mount(None, "/", None, linux.MS_REC | linux.MS_SLAVE)
    shm = directory + "/shm"
    os.makedirs(shm, exist_ok=True)
    options = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
    linux.mount("tmpfs", shm, "tmpfs", options, "mode=1777,size=64m")
    for path, size_bytes, group in config["memory_volumes"]:
        _mount_memory(path, size_bytes, group)
    for name, value in config["sysctls"].items():
        with contextlib.suppress(FileNotFoundError), open("/proc/sys/" + name.replace(".", "/"), "w") as file:
            file.write(value)


def _mount_memory(path: str, size_bytes: int, group: int) -> None:
    """In a user namespace only our own group exists; there every process of the pod is its owner."""
    flags = linux.MS_NOSUID | linux.MS_NODEV
    if group:
        with contextlib.suppress(OSError):
            linux.mount("tmpfs", path, "tmpfs", flags, f"size={size_bytes},mode=2777,gid={group}")
            return
    linux.mount("tmpfs", path, "tmpfs", flags, f"size={size_bytes},mode=0777")


if __name__ == "__main__":
    main()
