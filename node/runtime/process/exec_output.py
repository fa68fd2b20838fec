"""The standard streams of a command run in a container, read by the agent itself: the shim only passes the
descriptors on."""

from __future__ import annotations

import asyncio
import contextlib
import os

MAX_OUTPUT_BYTES = 16 * 1024 * 1024  # of each stream, as CRI runtimes limit ExecSync; the rest is dropped
READ_BYTES = 64 * 1024


class ExecOutput:
    """Three descriptors for the command; collects what it writes."""

    def __init__(self) -> None:
        self.stdin = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._readers: dict[int, bytearray] = {}
        self.stdout = self._pipe()
        self.stderr = self._pipe()
        self.out, self.err = self._readers.values()
        loop = asyncio.get_running_loop()
        for reader in self._readers:
            loop.add_reader(reader, self._read, reader)

    def handed_over(self) -> None:
        for name in ("stdin", "stdout", "stderr"):
            fd = getattr(self, name)
            if fd >= 0:
                os.close(fd)
                setattr(self, name, -1)

    def close(self) -> None:
        """Take what is left without waiting: what the command started may hold the pipes open."""
        self.handed_over()
        for reader in list(self._readers):
            while reader in self._readers and self._read(reader):
                pass
            self._forget(reader)

    def _pipe(self) -> int:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        self._readers[reader] = bytearray()
        return writer

    def _read(self, reader: int) -> bool:
        try:
            data = os.read(reader, READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._forget(reader)
            return False
        room = MAX_OUTPUT_BYTES - len(self._readers[reader])
        self._readers[reader] += data[:room]
        return True

    def _forget(self, reader: int) -> None:
        if self._readers.pop(reader, None) is not None:
            with contextlib.suppress(RuntimeError):
                asyncio.get_running_loop().remove_reader(reader)
            os.close(reader)
