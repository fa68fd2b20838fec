"""Encryption at rest as a whole: the file, the keys that it names, and (`--encryption-provider-config-automatic-
reload`) the same again when it has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from control_plane.apiserver.reloading import RELOAD_INTERVAL_S, Reloading, ReloadMetrics
from control_plane.apiserver.storage.encryption.client import Values
from control_plane.apiserver.storage.encryption.configuration import load
from control_plane.apiserver.storage.encryption.errors import BadConfiguration

METRICS = ReloadMetrics("encryption")


class Encryption:
    """`values` is what the client uses. Raises BadConfiguration."""

    def __init__(self, path: Path) -> None:
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise BadConfiguration(
                f"cannot read the encryption configuration {path}: {error.strerror}"
            ) from error
        self.values = Values(load(raw))
        self._reloading = Reloading(path, METRICS, self._replace, BadConfiguration)
        self._reloading.start(raw)

    async def run(self, refill: Callable[[], Awaitable[None]]) -> None:
        """`refill` is called when there are keys for what could not be read."""
        while True:
            await asyncio.sleep(RELOAD_INTERVAL_S)
            if self.check() and self.values.unreadable:
                self.values.unreadable.clear()
                await refill()

    def check(self) -> bool:
        """Whether there was another configuration, which is now in use."""
        return self._reloading.check()

    def _replace(self, raw: bytes) -> None:
        self.values.transformers = load(raw)
