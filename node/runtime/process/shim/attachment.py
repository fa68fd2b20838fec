"""Who is attached to a container's output: pipes to the agent, each with a bounded buffer of what it did not take.

A live reader loses nothing: while one is MAX_PENDING_BYTES behind, the container's output is not read, so that the
container waits for it. One that takes nothing at all for STALL_S is dropped, so that a container never waits long
for a reader that is gone. `held_until` says when that is due.
"""

from __future__ import annotations

import os
import time
from typing import Any

MAX_PENDING_BYTES = 256 * 1024  # of one pipe
MAX_BACKLOG_BYTES = 64 * 1024  # written before anybody was attached, kept for the first
STALL_S = 10.0


class Attachment:
    def __init__(self, client: Any, outputs: dict[str, int], has_stdin: bool) -> None:
        """Takes over the descriptors in `outputs`, by stream."""
        self.client = client
        self.has_stdin = has_stdin
        self.ending = False  # the container has ended: each pipe is closed once it is empty
        self.pending: dict[int, bytearray] = {fd: bytearray() for fd in outputs.values()}
        self.progress_at = time.monotonic()
        self._outputs = outputs
        self._finished: list[int] = []
        for fd in self.pending:
            os.set_blocking(fd, False)

    @property
    def behind(self) -> bool:
        return any(len(buffer) >= MAX_PENDING_BYTES for buffer in self.pending.values())

    @property
    def is_stalled(self) -> bool:
        return self.behind and time.monotonic() - self.progress_at >= STALL_S

    def waiting(self) -> list[int]:
        """The pipes that have something to be written."""
        return [fd for fd, buffer in self.pending.items() if buffer]

    def feed(self, stream: str, data: bytes) -> None:
        fd = self._outputs.get(stream, -1)
        if fd in self.pending:
            self.pending[fd] += data
            self.flush(fd)

    def flush(self, fd: int) -> None:
        """Write what the pipe takes; it is finished when its reader is gone, or all is written and this ends."""
        buffer = self.pending[fd]
        try:
            while buffer:
                del buffer[: os.write(fd, buffer)]
                self.progress_at = time.monotonic()
        except BlockingIOError:
            return
        except OSError:
            self._finish(fd)
            return
        if self.ending:
            self._finish(fd)

    def end(self) -> None:
        self.ending = True
        for fd in list(self.pending):
            self.flush(fd)

    def close(self) -> None:
        for fd in list(self.pending):
            self._finish(fd)

    def take_finished(self) -> list[int]:
        """Descriptors that are of no more use: the caller stops watching and closes them."""
        finished, self._finished = self._finished, []
        return finished

    def _finish(self, fd: int) -> None:
        del self.pending[fd]
        self._finished.append(fd)


class Backlog:
    """What an interactive container wrote before the first attach: its prompt should not be lost."""

    def __init__(self, wanted: bool) -> None:
        self._pieces: list[tuple[str, bytes]] = []
        self._room = MAX_BACKLOG_BYTES if wanted else 0

    def add(self, stream: str, data: bytes) -> None:
        if kept := data[: self._room]:
            self._pieces.append((stream, kept))
            self._room -= len(kept)

    def take(self) -> list[tuple[str, bytes]]:
        pieces, self._pieces, self._room = self._pieces, [], 0
        return pieces
