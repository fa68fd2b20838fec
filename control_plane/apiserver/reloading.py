"""A configuration file that is read again when it has changed, without a restart.

What cannot be used changes nothing: the configuration that was good stays, the failure is logged and counted.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from control_plane.apiserver.series import Counts, Levels
from store.component import logs

RELOAD_INTERVAL_S = 1.0

log = logs.get("apiserver.config")


class ReloadMetrics:
    """`apiserver_<what>_config_controller_*`."""

    def __init__(self, what: str) -> None:
        prefix = f"apiserver_{what}_config_controller_"
        self.reloads = Counts(prefix + "automatic_reloads", "Reloads of the configuration.", ("status",))
        self.last = Levels(
            prefix + "automatic_reload_last_timestamp_seconds", "When it was last reloaded.", ("status",)
        )
        self.info = Levels(prefix + "last_config_info", "The configuration in use.", ("hash",))


class Reloading:
    """`apply` is called with the new contents and raises one of `refusals` for what it cannot use."""

    def __init__(
        self,
        path: Path,
        metrics: ReloadMetrics,
        apply: Callable[[bytes], None],
        refusals: type[Exception] | tuple[type[Exception], ...],
    ) -> None:
        self._path = path
        self._metrics = metrics
        self._apply = apply
        self._refusals = refusals
        self._seen = b""

    def start(self, raw: bytes) -> None:
        """These contents are in use."""
        self._seen = raw
        self._note(raw)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(RELOAD_INTERVAL_S)
            self.check()

    def check(self) -> bool:
        """Whether there was another configuration, which is now in use."""
        try:
            raw = self._path.read_bytes()
        except OSError:
            return False  # it is being replaced, or gone: what was read last stays
        if raw == self._seen:
            return False
        self._seen = raw
        try:
            self._apply(raw)
        except self._refusals as error:
            log.error("a configuration cannot be reloaded", file=self._path, reason=error)
            self._count("failure")
            return False
        log.info("a configuration was reloaded", file=self._path)
        self._note(raw)
        self._count("success")
        return True

    def _count(self, status: str) -> None:
        self._metrics.reloads.add((status,))
        self._metrics.last.set((status,), time.time())

    def _note(self, raw: bytes) -> None:
        self._metrics.info.values.clear()
        self._metrics.info.set((f"sha256:{hashlib.sha256(raw).hexdigest()}",), 1)
