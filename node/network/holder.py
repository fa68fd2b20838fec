"""The process that keeps a cluster's network namespaces alive, one per cluster.

A namespace lives as long as something refers to it. Names under /run/netns would outlive a crash and need
root; here the only references are this process's descriptors (and the processes inside), so that all
namespaces vanish with it. Everybody else opens them as /proc/<holder>/fd/<n>.

It answers on a SOCK_SEQPACKET socket in its directory, one JSON object per message:

    open {name, label}  -> {fd, label, created}   makes the namespace unless it exists; then its label stays
    close {name}        -> {}                     lets go of it
    list {}             -> {namespaces: {name: {fd, label}}}

Standard library only: the launcher forks it before it imports anything large.
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
import selectors
import signal
import socket
from typing import Any

from node import linux

SOCKET_NAME = "holder.sock"
LOCK_NAME = "holder.lock"
MAX_MESSAGE_BYTES = 128 * 1024
MAX_NAMESPACES = 2048
LIST_PAGE = 256  # names per answer, so that it fits a message
BACKLOG = 128


class Holder:
    def __init__(self) -> None:
        self.namespaces: dict[str, tuple[int, Any]] = {}  # name -> descriptor, label

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        op, name = request["op"], request.get("name", "")
        if op == "open":
            return self._open(name, request.get("label"))
        if op == "close":
            fd, _ = self.namespaces.pop(name, (-1, None))
            if fd >= 0:
                os.close(fd)
            return {}
        if op == "list":
            return self._list(request.get("after", ""))
        return {"error": f"unknown operation {op!r}"}

    def _open(self, name: str, label: Any) -> dict[str, Any]:
        created = name not in self.namespaces
        if created:
            if len(self.namespaces) >= MAX_NAMESPACES:
                return {"error": f"there are {MAX_NAMESPACES} namespaces already"}
            linux.unshare(linux.CLONE_NEWNET)  # ours changes too; we use none
            fd = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            self.namespaces[name] = (fd, label)
        fd, label = self.namespaces[name]
        return {"fd": fd, "label": label, "created": created}

    def _list(self, after: str) -> dict[str, Any]:
        names = sorted(name for name in self.namespaces if name > after)[:LIST_PAGE]
        found = {name: {"fd": self.namespaces[name][0], "label": self.namespaces[name][1]} for name in names}
        return {"namespaces": found, "more": len(names) == LIST_PAGE}


def serve(directory: str, ready: int, die_with_parent: bool) -> None:
    """Hold namespaces until SIGTERM. Writes a byte to `ready` when it can be asked; never two per directory."""
    if die_with_parent:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    linux.prctl_name("balsa-netns")
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    lock = os.open(f"{directory}/{LOCK_NAME}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    listener = _listen(directory)
    os.write(ready, b"+")
    os.close(ready)
    _loop(listener, Holder())


def _listen(directory: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    path = f"/proc/self/fd/{fd}/{SOCKET_NAME}"  # paths of sockets are short, state directories need not be
    if os.path.exists(path):
        os.unlink(path)
    listener.bind(path)
    os.chmod(path, 0o600)
    os.close(fd)
    listener.listen(BACKLOG)
    return listener


def _loop(listener: socket.socket, holder: Holder) -> None:
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                selector.register(listener.accept()[0], selectors.EVENT_READ)
            elif isinstance(key.fileobj, socket.socket) and not _serve_one(key.fileobj, holder):
                selector.unregister(key.fileobj)
                key.fileobj.close()


def _serve_one(client: socket.socket, holder: Holder) -> bool:
    try:
        message = client.recv(MAX_MESSAGE_BYTES)
        if not message:
            return False
        try:
            answer = holder.answer(json.loads(message))
        except OSError as error:
            answer = {"error": str(error)}
        client.send(json.dumps(answer).encode())
    except (OSError, ValueError, KeyError):
        return False
    return True
