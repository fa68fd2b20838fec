"""The shim's side of its socket: who is connected, what they ask, what they are answered.

One JSON object per message of a SOCK_SEQPACKET connection, file descriptors beside it. A handler returns the
answer, or None when it comes later (`answer`). An error is answered as {kind, error}, and costs nobody else.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
from collections.abc import Callable
from typing import Any

from node.runtime.process.shim.launch import LaunchError

MAX_MESSAGE_BYTES = 128 * 1024
MAX_CLIENTS = 256

Message = dict[str, Any]
Handle = Callable[[socket.socket, Message, list[int]], Message | None]


class Refused(Exception):
    """Answered to the client as {kind, error}."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Clients:
    def __init__(
        self,
        listener: socket.socket,
        selector: selectors.BaseSelector,
        handle: Handle,
        on_gone: Callable[[socket.socket], None],
    ) -> None:
        self.listener = listener
        self._selector = selector
        self._handle = handle
        self._on_gone = on_gone
        self._connected: set[socket.socket] = set()

    def accept(self) -> None:
        client, _ = self.listener.accept()
        if len(self._connected) >= MAX_CLIENTS:
            client.close()
            return
        self._connected.add(client)
        self._selector.register(client, selectors.EVENT_READ, lambda: self._receive(client))

    def _receive(self, client: socket.socket) -> None:
        fds: list[int] = []
        if client not in self._connected:  # hung up in the same turn
            return
        try:
            message, fds, _, _ = socket.recv_fds(client, MAX_MESSAGE_BYTES, 3)
            for fd in fds:
                os.set_inheritable(fd, False)
            if not message:
                self.hang_up(client)
                return
            answer = self._handle(client, json.loads(message), fds)
            if answer is not None:
                self.answer(client, answer)
        except (Refused, LaunchError) as error:
            self.answer(client, {"kind": error.kind, "error": str(error)})
        except ConnectionError:
            self.hang_up(client)
        except Exception as error:
            self.answer(client, {"kind": "Internal", "error": f"{type(error).__name__}: {error}"})
        finally:
            for fd in fds:
                os.close(fd)

    def answer(self, client: socket.socket, message: Message, fds: tuple[int, ...] = ()) -> None:
        if client not in self._connected:
            return
        flags = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
        try:
            socket.send_fds(client, [json.dumps(message).encode()], fds, flags)
        except OSError:  # gone, or so slow that its buffer is full: it will connect again and be told all
            self.hang_up(client)

    def hang_up(self, client: socket.socket) -> None:
        if client not in self._connected:
            return
        self._connected.discard(client)
        self._selector.unregister(client)
        client.close()
        self._on_gone(client)
