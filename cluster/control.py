"""The supervisor's control socket: one JSON object a line, one answer a line, then the connection ends.

    {"op": "status"}                              → {"processes": [...], "network": "netns", ...}
    {"op": "signal", "process": "store-1", "signal": "SIGKILL"}   → {}
    {"op": "stop"}                                → {} and the supervisor begins to stop everything

An error answers {"error": "..."}. The socket is in the state directory, which only its owner can enter.
"""

from __future__ import annotations

import socket
from typing import Any

import orjson

from cluster.errors import ClusterError, NotRunning
from cluster.home import Home

REQUEST_SIZE_LIMIT_BYTES = 64 * 1024
TIMEOUT_S = 10.0

Message = dict[str, Any]


def call(home: Home, request: Message) -> Message:
    """Raises NotRunning when there is no supervisor, ClusterError with its words when it refuses."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT_S)
        try:
            connection.connect(str(home.control))
            connection.sendall(orjson.dumps(request) + b"\n")
            answer = _read_line(connection)
        except (FileNotFoundError, ConnectionError) as error:
            raise NotRunning(f"no cluster is running in {home.root}; `balsa up` starts one") from error
        except TimeoutError as error:
            raise ClusterError(
                f"the supervisor does not answer; its log is {home.log_of('supervisor')}"
            ) from error
    reply: Message = orjson.loads(answer)
    if "error" in reply:
        raise ClusterError(reply["error"])
    return reply


def listen(home: Home) -> socket.socket:
    """The supervisor's end. Only the holder of the lock calls it, so that an old socket file is stale."""
    home.control.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(home.control))
    listener.listen(16)
    listener.setblocking(False)
    return listener


def serve_one(listener: socket.socket, handle: Any) -> None:
    """Accept a connection, answer its request. A client that sends nothing costs a second at most."""
    try:
        connection, _ = listener.accept()
    except (BlockingIOError, ConnectionError):
        return
    with connection:
        connection.settimeout(1.0)
        try:
            request = orjson.loads(_read_line(connection))
            connection.sendall(orjson.dumps(_answer(handle, request)) + b"\n")
        except (OSError, ValueError):
            return


def _answer(handle: Any, request: Message) -> Message:
    try:
        answer: Message = handle(request)
    except ClusterError as error:
        return {"error": str(error)}
    return answer


def _read_line(connection: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\n"):
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionResetError("closed before the end of the line")
        data += piece
        if len(data) > REQUEST_SIZE_LIMIT_BYTES and not data.endswith(b"\n"):
            raise ConnectionResetError("line too long")
    return data
