"""Ports and listening sockets on the host's loopback."""

from __future__ import annotations

import errno
import random
import socket

from cluster.errors import PortTaken

BACKLOG = 1024
LASTING = range(15_000, 29_000)  # below the ports of connections (32768 and up) and NodePorts


def free_ports(count: int) -> list[int]:
    """Ports that nobody has now, all held at once so that they differ. They stay a cluster's own over restarts, and
    so are not of those that the kernel gives to any connection."""
    held: list[socket.socket] = []
    drawn = iter(random.sample(LASTING, len(LASTING)))
    try:
        while len(held) < count:
            each = socket.socket()
            held.append(each)
            try:
                each.bind(("127.0.0.1", next(drawn, 0)))
            except OSError:
                held.pop().close()
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()


def listen(port: int, owner: str) -> socket.socket:
    """A listening socket for children to inherit. Raises PortTaken."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _explain(port, owner, error) from error
    listener.setblocking(False)
    return listener


def check_free(port: int, owner: str) -> None:
    """Raises PortTaken when another process listens on `port`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise _explain(port, owner, error) from error


def _explain(port: int, owner: str, error: OSError) -> PortTaken:
    if error.errno == errno.EADDRINUSE:
        return PortTaken(
            f"port {port} of the {owner} is taken by another program; stop that one "
            f"(`ss -ltnp 'sport = :{port}'` names it) and try again"
        )
    return PortTaken(f"cannot listen on port {port} for the {owner}: {error.strerror}")
