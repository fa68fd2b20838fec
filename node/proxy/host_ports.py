"""Who listens for NodePorts on the host's 127.0.0.1: one agent of the machine, whichever holds the lock.

The lock is the kernel's (flock on a file in the state directory), so it is free the moment its holder dies,
however it dies, and another agent takes over within POLL_S.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

POLL_S = 0.25


class HostOwner:
    def __init__(self, lock: Path) -> None:
        self._path = lock
        self._fd = -1

    @property
    def owns(self) -> bool:
        return self._fd >= 0

    async def run(self, on_owned: Callable[[], None]) -> None:
        """Wait for the lock, keep it until cancelled."""
        try:
            while not self._try_lock():  # noqa: ASYNC110 - another process lets it go
                await asyncio.sleep(POLL_S)
            on_owned()
            await asyncio.Event().wait()
        finally:
            self.release()

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _try_lock(self) -> bool:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        self._fd = fd
        return True
