"""`balsa store` with a door for faults: what the file named by BALSA_FAULTS says is done when SIGUSR1 comes.

    {"cut_to": [names], "cut_from": [names], "sync_delay_s": 0.0, "disk_error": 0, "clock_ahead_s": 0.0}

The door is here and not in the product: this wraps its entry point and keeps a hand on the engine it builds.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import orjson

from store.api import main as product
from store.raft import RaftNode

FAULTS_ENV = "BALSA_FAULTS"


class WallClock:
    """The time of day as this process sees it, which may be set at any moment, forth and back."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self._right_s, self._right_ns = time.time, time.time_ns

    def install(self) -> None:
        time.time = lambda: self._right_s() + self.ahead_s
        time.time_ns = lambda: self._right_ns() + int(self.ahead_s * 1e9)


wall_clock = WallClock()


class FaultyNode(RaftNode):
    async def start(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self.obey)
        self.obey()  # it may be started into a partition
        await super().start()
        self.obey()

    def obey(self) -> None:
        path = Path(os.environ[FAULTS_ENV])
        wanted: dict[str, Any] = orjson.loads(path.read_bytes()) if path.exists() else {}
        wall_clock.ahead_s = wanted.get("clock_ahead_s", 0.0)
        disk: Any = self.disk
        disk.faults.slow(wanted.get("sync_delay_s", 0.0))
        disk.faults.failure = wanted.get("disk_error") or None
        transport = getattr(self, "transport", None)
        if transport is not None:
            transport.faults.heal()
            transport.faults.dropped_to.update(wanted.get("cut_to", ()))
            transport.faults.dropped_from.update(wanted.get("cut_from", ()))


if __name__ == "__main__":
    wall_clock.install()
    product.RaftNode = FaultyNode  # type: ignore[misc]
    sys.exit(product.main(sys.argv[1:]))
