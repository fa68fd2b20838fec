"""Entering network namespaces, and asking their holder for them.

A thread can enter a namespace (setns is per thread) but an ordinary user's cannot come back to the host's, so
every visit is a thread of its own that ends afterwards. What it leaves behind is a socket: a socket belongs for
ever to the namespace it was created in and may be used from anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from node import linux
from node.network.errors import HolderGone, NetworkError
from node.network.holder import MAX_MESSAGE_BYTES, SOCKET_NAME

T = TypeVar("T")

MAX_VISITS = 8  # threads at a time
LISTEN_BACKLOG = 1024
HOLDER_TIMEOUT_S = 10.0


def _visit(path: str, work: Callable[[], T]) -> T:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise HolderGone(f"the network namespace {path} is gone: {error.strerror}") from error
    try:
        linux.setns(fd, linux.CLONE_NEWNET)
    finally:
        os.close(fd)
    return work()


def run_in(path: str, work: Callable[[], T]) -> T:
    """Call `work` inside the network namespace at `path`; blocks for as long as it takes."""
    outcome: list[T] = []
    failure: list[BaseException] = []

    def body() -> None:
        try:
            outcome.append(_visit(path, work))
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=body, name="netns")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


class Visitor:
    """`run_in` without blocking the event loop."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(MAX_VISITS)

    async def run_in(self, path: str, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(result: T | None, error: BaseException | None) -> None:
            if future.cancelled():
                if isinstance(result, socket.socket):
                    result.close()
            elif error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]

        def body() -> None:
            result, failure = None, None
            try:
                result = _visit(path, work)
            except BaseException as error:
                failure = error
            with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
                loop.call_soon_threadsafe(settle, result, failure)

        async with self._slots:
            threading.Thread(target=body, name="netns", daemon=True).start()
            return await future


def bound_socket(address: str, port: int, kind: socket.SocketKind) -> socket.socket:
    """A non-blocking socket bound to the address; TCP listens."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, kind)
    try:
        made.setblocking(False)
        if kind == socket.SOCK_STREAM:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        if kind == socket.SOCK_STREAM:
            made.listen(LISTEN_BACKLOG)
    except BaseException:
        made.close()
        raise
    return made


def unbound_socket(address: str, kind: socket.SocketKind) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    made.setblocking(False)
    return made


def socket_in(path: str, address: str, port: int, kind: socket.SocketKind) -> socket.socket:
    """`bound_socket`, made inside the namespace at `path`."""
    return run_in(path, lambda: bound_socket(address, port, kind))


@dataclass(frozen=True, slots=True)
class Namespace:
    path: str
    label: Any
    created: bool = False


class HolderClient:
    """Talks to the holder of a directory; each call is one short conversation."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def pid(self) -> int:
        """Raises HolderGone."""
        with self._connect() as connection:
            return _peer_pid(connection)

    def open(self, name: str, label: Any = None) -> Namespace:
        """The namespace of that name, made when there is none; `label` is kept with a new one."""
        with self._connect() as connection:
            answer = _ask(connection, {"op": "open", "name": name, "label": label})
            path = f"/proc/{_peer_pid(connection)}/fd/{answer['fd']}"
        return Namespace(path, answer["label"], answer["created"])

    def close(self, name: str) -> None:
        with self._connect() as connection:
            _ask(connection, {"op": "close", "name": name})

    def list(self, prefix: str = "") -> dict[str, Namespace]:
        found: dict[str, Namespace] = {}
        with self._connect() as connection:
            pid, after, more = _peer_pid(connection), "", True
            while more:
                answer = _ask(connection, {"op": "list", "after": after})
                for name, each in answer["namespaces"].items():
                    found[name] = Namespace(f"/proc/{pid}/fd/{each['fd']}", each["label"])
                    after = name
                more = answer["more"]
        return {name: each for name, each in found.items() if name.startswith(prefix)}

    @contextlib.contextmanager
    def _connect(self) -> Iterator[socket.socket]:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.settimeout(HOLDER_TIMEOUT_S)
        try:
            fd = os.open(self.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                connection.connect(f"/proc/self/fd/{fd}/{SOCKET_NAME}")
            finally:
                os.close(fd)
            yield connection
        except OSError as error:
            raise HolderGone(f"the holder of the cluster's namespaces does not answer: {error}") from error
        finally:
            connection.close()


def _ask(connection: socket.socket, request: dict[str, Any]) -> dict[str, Any]:
    connection.send(json.dumps(request).encode())
    data = connection.recv(MAX_MESSAGE_BYTES)
    if not data:
        raise HolderGone("the holder of the cluster's namespaces has ended")
    answer: dict[str, Any] = json.loads(data)
    if "error" in answer:
        raise NetworkError(answer["error"])
    return answer


def _peer_pid(connection: socket.socket) -> int:
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", data)[0])
