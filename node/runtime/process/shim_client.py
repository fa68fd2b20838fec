"""The agent's ends of the two conversations: with its spawner, and with each pod's shim.

Paths of unix sockets are limited to 108 bytes, state directories are not: a socket is reached through
`/proc/self/fd/<its directory>/`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from node.runtime.interface import (
    BelowUsage,
    CreateError,
    NotFound,
    NotRunning,
    RuntimeError_,
    StartError,
    UpdateError,
)
from node.runtime.process.shim.clients import MAX_MESSAGE_BYTES

SOURCE_ROOT = Path(__file__).resolve().parents[3]
SPAWN_TIMEOUT_S = 30.0
SOCKET_NAME = "shim.sock"
MAX_FDS = 1  # that a shim sends with a message
_BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); from node.runtime.process.shim.spawner import main; main()"
)
_ERRORS: dict[str, type[RuntimeError_]] = {
    "NotFound": NotFound,
    "CreateError": CreateError,
    "StartError": StartError,
    "NotRunning": NotRunning,
    "BelowUsage": BelowUsage,
    "UpdateError": UpdateError,
}


class ShimGone(RuntimeError_):
    """Nobody answers at the sandbox's socket: the shim has ended, and with it the pod's processes."""


class Spawner:
    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-E", "-s", "-c", _BOOT, str(SOURCE_ROOT)],
                stdin=theirs.fileno(),
                cwd="/",
            )
        self._socket = ours

    async def close(self) -> None:
        """It has nothing to finish: the shims that it forked are on their own, and one that only begins to start
        would take its time to notice that it is not wanted any more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            await asyncio.get_running_loop().run_in_executor(None, process.wait)

    async def spawn_shim(self, directory: Path) -> None:
        """Fork the shim of a sandbox whose directory is prepared; raises CreateError."""
        with contextlib.closing(_bind(directory)) as listener:
            answer = await self._ask({"shim": str(directory)}, [listener.fileno()])
        if answer != "ready":
            raise CreateError(f"the pod's shim cannot start: {answer or 'it has ended'}")

    async def probe(self, directory: Path) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(await self._ask({"probe": str(directory)}, []))
        return answer

    async def _ask(self, message: dict[str, Any], fds: Sequence[int]) -> str:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        try:
            self._send(json.dumps(message).encode(), [writer, *fds])
        finally:
            os.close(writer)
        try:
            return (await asyncio.wait_for(_read_all(reader), SPAWN_TIMEOUT_S)).decode()
        finally:
            os.close(reader)

    def _send(self, data: bytes, fds: list[int]) -> None:
        """One that was killed is replaced."""
        assert self._socket is not None
        try:
            socket.send_fds(self._socket, [data], fds)
        except (BrokenPipeError, ConnectionResetError):
            self._socket.close()
            assert self._process is not None
            self._process.wait()
            self.start()
            socket.send_fds(self._socket, [data], fds)


class ShimClient:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._subscription: socket.socket | None = None

    async def request(self, op: str, fds: Sequence[int] = (), **fields: Any) -> dict[str, Any]:
        """Ask and wait for the answer; raises the runtime's errors, ShimGone when the shim is not there."""
        connection = self._connect()
        try:
            socket.send_fds(connection, [json.dumps({"op": op, **fields}).encode()], list(fds))
            message = await _receive(connection)
        except OSError as error:
            raise ShimGone(str(error)) from error
        finally:
            connection.close()
        if not message:
            raise ShimGone("the pod's shim has ended")
        answer: dict[str, Any] = json.loads(message)
        if "error" in answer:
            raise _ERRORS.get(answer["kind"], RuntimeError_)(answer["error"])
        return answer

    def converse(self, op: str, fds: Sequence[int] = (), **fields: Any) -> Conversation:
        """Ask for what has more than one answer; raises ShimGone."""
        connection = self._connect()
        try:
            socket.send_fds(connection, [json.dumps({"op": op, **fields}).encode()], list(fds))
        except OSError as error:
            connection.close()
            raise ShimGone(str(error)) from error
        return Conversation(connection)

    async def subscribe(
        self, on_status: Callable[[dict[str, Any]], None], on_gone: Callable[[], None]
    ) -> None:
        """Hear every status, those of now before this returns; `on_gone` once when the shim has ended. Raises
        ShimGone."""
        connection = self._connect()
        try:
            connection.send(b'{"op": "subscribe"}')
        except OSError as error:
            connection.close()
            raise ShimGone(str(error)) from error
        self._subscription = connection
        loop = asyncio.get_running_loop()
        synced: asyncio.Future[None] = loop.create_future()

        def ready() -> None:
            try:
                data = connection.recv(MAX_MESSAGE_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self.close()
                if not synced.done():
                    synced.set_result(None)
                on_gone()
                return
            message = json.loads(data)
            if "status" in message:
                on_status(message["status"])
            elif not synced.done():
                synced.set_result(None)

        loop.add_reader(connection.fileno(), ready)
        await asyncio.wait_for(synced, SPAWN_TIMEOUT_S)

    def close(self) -> None:
        if self._subscription is not None:
            asyncio.get_running_loop().remove_reader(self._subscription.fileno())
            self._subscription.close()
            self._subscription = None

    def pid(self) -> int:
        """The shim's process id, 0 when it is not there."""
        try:
            with contextlib.closing(self._connect()) as connection:
                data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        except ShimGone:
            return 0
        return int(struct.unpack("3i", data)[0])

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with _directory_fd(self._directory) as fd:
                connection.setblocking(False)
                connection.connect(f"/proc/self/fd/{fd}/{SOCKET_NAME}")
        except OSError as error:
            connection.close()
            raise ShimGone(str(error)) from error
        return connection


class Conversation:
    """One connection to a shim; closing it tells the shim that nobody waits any more."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    async def receive(self) -> tuple[dict[str, Any], list[int]]:
        """The next message and the descriptors that came with it, which are the caller's to close. Raises the
        runtime's errors."""
        while True:
            await _readable(self._connection.fileno())
            try:
                data, fds, _, _ = socket.recv_fds(self._connection, MAX_MESSAGE_BYTES, MAX_FDS)
                break
            except BlockingIOError:
                continue
            except OSError as error:
                raise ShimGone(str(error)) from error
        for fd in fds:
            os.set_inheritable(fd, False)
        if not data:
            raise ShimGone("the pod's shim has ended")
        answer: dict[str, Any] = json.loads(data)
        if "error" in answer:
            raise _ERRORS.get(answer["kind"], RuntimeError_)(answer["error"])
        return answer, fds

    def tell(self, op: str, **fields: Any) -> None:
        with contextlib.suppress(OSError):
            self._connection.send(json.dumps({"op": op, **fields}).encode())

    def close(self) -> None:
        self._connection.close()


def _bind(directory: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with _directory_fd(directory) as fd:
        listener.bind(f"/proc/self/fd/{fd}/{SOCKET_NAME}")
    return listener


@contextlib.contextmanager
def _directory_fd(directory: Path) -> Any:
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(fd, wake)
    try:
        await ready
    finally:
        loop.remove_reader(fd)


async def _receive(connection: socket.socket) -> bytes:
    while True:
        await _readable(connection.fileno())
        try:
            return connection.recv(MAX_MESSAGE_BYTES)
        except BlockingIOError:
            continue


async def _read_all(fd: int) -> bytes:
    parts = b""
    while True:
        await _readable(fd)
        try:
            data = os.read(fd, 65536)
        except BlockingIOError:
            continue
        if not data:
            return parts
        parts += data
