"""The cluster's own network, for the launcher: what the kernel allows, and making and ending the fabric.

The launcher's process calls, while it has one thread:

    allowed = fabric.capabilities()           # in which mode; the reasons are for `balsa doctor`
    fabric.enter(allowed)                     # an ordinary user becomes root of a user namespace here
    net = Fabric.create(directory)            # forks the holder
    listener = net.listen(net.address, 6443)  # the apiserver's door on the inside
    …
    net.destroy()

Nothing of the host is touched, and all of it ends with the holder: on `destroy`, with the launcher (the holder
dies with its parent), or with a crash.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import select
import signal
import socket
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from node import linux
from node.network import holder
from node.network.errors import HolderGone, NetworkError, NotPermitted
from node.network.namespaces import HolderClient, run_in, socket_in

FABRIC = "fabric"
DEFAULT_ADDRESS = "172.30.0.1/24"
STOP_TIMEOUT_S = 5.0


class Mode(StrEnum):
    ROOT = "root"
    USER_NAMESPACE = "user-namespace"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Capabilities:
    mode: Mode
    reasons: tuple[str, ...] = field(default=())  # why not a better one

    @property
    def netns(self) -> bool:
        return self.mode is not Mode.NONE


def capabilities() -> Capabilities:
    """Find out by trying, in a child, so that this process stays as it is."""
    if linux.is_capable(linux.CAP_SYS_ADMIN, linux.CAP_NET_ADMIN):
        problem = _try_in_child(new_user=False)
        if not problem:
            return Capabilities(Mode.ROOT)
        return Capabilities(Mode.NONE, (f"namespaces cannot be made: {problem}",))
    reasons = ("not root",)
    problem = _try_in_child(new_user=True)
    if not problem:
        return Capabilities(Mode.USER_NAMESPACE, reasons)
    return Capabilities(Mode.NONE, (*reasons, f"user namespaces cannot be used: {problem}", *_restrictions()))


def _try_in_child(new_user: bool) -> str:
    """What goes wrong when a bridge is made in a new namespace; empty when nothing does."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if new_user:
                linux.enter_user_namespace()
            linux.unshare(linux.CLONE_NEWNET | linux.CLONE_NEWNS)
            from node.network import links  # pyroute2 is not needed by who only asks

            links.set_up_fabric(ipaddress.IPv4Interface(DEFAULT_ADDRESS))
        except BaseException as error:
            os.write(writer, (str(error) or type(error).__name__).encode()[:1024])
        finally:
            os._exit(0)
    os.close(writer)
    problem = os.read(reader, 2048).decode(errors="replace")
    os.close(reader)
    os.waitpid(pid, 0)
    return problem


def _restrictions() -> list[str]:
    """Settings that are known to forbid user namespaces, with their values."""
    forbidding = {
        "kernel/unprivileged_userns_clone": "0",
        "user/max_user_namespaces": "0",
        "kernel/apparmor_restrict_unprivileged_userns": "1",
    }
    found = []
    for name, value in forbidding.items():
        with contextlib.suppress(OSError):
            if Path("/proc/sys", name).read_text().strip() == value:
                found.append(f"{name.replace('/', '.')} = {value}")
    return found


def enter(allowed: Capabilities) -> None:
    """Take this process to where namespaces can be made; raises NotPermitted. It must have one thread."""
    if not allowed.netns:
        raise NotPermitted("; ".join(allowed.reasons))
    if allowed.mode is Mode.USER_NAMESPACE:
        linux.enter_user_namespace(linux.CLONE_NEWNS)


class Fabric:
    """The namespace with the bridge on which the nodes are."""

    def __init__(self, directory: Path, path: str, interface: ipaddress.IPv4Interface) -> None:
        self.directory = directory
        self.path = path  # the namespace
        self.interface = interface
        self.address = str(interface.ip)

    @classmethod
    def create(
        cls, directory: Path, address: str = DEFAULT_ADDRESS, *, die_with_parent: bool = True
    ) -> Fabric:
        """Make it, or find it again when its holder lives."""
        directory.mkdir(parents=True, exist_ok=True)
        client = HolderClient(directory)
        try:
            _ = client.pid
        except HolderGone:
            _start_holder(directory, die_with_parent)
        namespace = client.open(FABRIC, {"address": address})
        interface = ipaddress.IPv4Interface(namespace.label["address"])
        from node.network import links  # the holder is forked before this is loaded

        run_in(namespace.path, lambda: links.set_up_fabric(interface))
        return cls(directory, namespace.path, interface)

    @classmethod
    def attach(cls, directory: Path) -> Fabric:
        """The one that exists; raises HolderGone."""
        namespace = HolderClient(directory).list().get(FABRIC)
        if namespace is None:
            raise HolderGone("the cluster's fabric does not exist")
        return cls(directory, namespace.path, ipaddress.IPv4Interface(namespace.label["address"]))

    def node_address(self, number: int) -> str:
        """172.30.0.1N for node N."""
        return str(self.interface.network[10 + number])

    def listen(self, address: str, port: int) -> socket.socket:
        """A listening TCP socket inside."""
        return socket_in(self.path, address, port, socket.SOCK_STREAM)

    def destroy(self) -> None:
        destroy(self.directory)


def destroy(directory: Path) -> None:
    """End the holder of a directory, and with it the network and every pod; fine when there is none."""
    try:
        pid = HolderClient(directory).pid
    except HolderGone:
        return
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            os.kill(pid, signal.SIGTERM)
            _await_end(handle, pid)
        finally:
            os.close(handle)


def _await_end(handle: int, pid: int) -> None:
    if not select.select([handle], [], [], STOP_TIMEOUT_S)[0]:
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _start_holder(directory: Path, die_with_parent: bool) -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become_holder(directory, reader, writer, die_with_parent)
    os.close(writer)
    ready = os.read(reader, 1024)
    os.close(reader)
    if ready != b"+":
        os.waitpid(pid, 0)
        raise NetworkError(f"the holder of the cluster's namespaces cannot start: {ready.decode()}")


def _become_holder(directory: Path, reader: int, writer: int, die_with_parent: bool) -> None:
    try:
        os.setsid()
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        os.dup2(writer, 3)
        os.closerange(4, 4096)
        holder.serve(str(directory.absolute()), 3, die_with_parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(3, str(error).encode()[:1000])
    finally:
        os._exit(1)


def inside(directory: Path, node: str = "") -> str:
    """The namespace in which `balsa net` runs a command: a node's (any, unless named), where services are."""
    nodes = HolderClient(directory).list("node/")
    if node and f"node/{node}" not in nodes:
        raise NetworkError(f"there is no node {node!r} in the cluster's network")
    if not nodes:
        raise NetworkError("no node has joined the cluster's network yet")
    return nodes[f"node/{node}"].path if node else next(iter(nodes.values())).path


def enter_namespace(directory: Path, node: str = "") -> None:
    """Move this process, which must have one thread, into a node's network; an ordinary user goes through the
    cluster's user namespace."""
    path, pid = inside(directory, node), HolderClient(directory).pid
    theirs = Path(f"/proc/{pid}/ns/user")
    if theirs.readlink() != Path("/proc/self/ns/user").readlink():
        user = os.open(theirs, os.O_RDONLY | os.O_CLOEXEC)
        linux.setns(user, linux.CLONE_NEWUSER)
        os.close(user)
    namespace = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    linux.setns(namespace, linux.CLONE_NEWNET)
    os.close(namespace)
