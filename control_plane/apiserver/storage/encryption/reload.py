"""Encryption at rest as a whole: the file, the keys that it names or that a key management service has, and
(`--encryption-provider-config-automatic-reload`) the same again when the file has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from control_plane.apiserver.reloading import RELOAD_INTERVAL_S, Reloading, ReloadMetrics
from control_plane.apiserver.storage.encryption.client import Values
from control_plane.apiserver.storage.encryption.configuration import load
from control_plane.apiserver.storage.encryption.errors import BadConfiguration
from control_plane.apiserver.storage.encryption.kms import KmsProvider

METRICS = ReloadMetrics("encryption")


class Encryption:
    """`values` is what the client uses. Raises BadConfiguration."""

    def __init__(self, path: Path, *, reloads: bool = True) -> None:
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise BadConfiguration(
                f"cannot read the encryption configuration {path}: {error.strerror}"
            ) from error
        self.values = Values(load(raw))
        self._reloads = reloads
        self._due_s: dict[KmsProvider, float] = {}
        self._reloading = Reloading(path, METRICS, self._replace, BadConfiguration)
        self._reloading.start(raw)

    async def run(self, refill: Callable[[], Awaitable[None]]) -> None:
        """`refill` is called when there are keys for what could not be read."""
        while True:
            await self._refresh()
            await asyncio.sleep(RELOAD_INTERVAL_S)
            if self._reloads and self.check() and self.values.unreadable:
                self.values.unreadable.clear()
                await refill()

    def check(self) -> bool:
        """Whether there was another configuration, which is now in use."""
        return self._reloading.check()

    def healthy(self) -> str | None:
        """The health check of the key management services."""
        failures = [why for each in self.values.transformers.services if (why := each.check())]
        return "; ".join(failures) or None

    async def _refresh(self) -> None:
        """Ask those services whose turn it is."""
        now_s = asyncio.get_running_loop().time()
        services = self.values.transformers.services
        self._due_s = {each: self._due_s.get(each, now_s) for each in services}
        for service, due_s in self._due_s.items():
            if due_s <= now_s:
                self._due_s[service] = now_s + await service.refresh()

    def _replace(self, raw: bytes) -> None:
        self.values.transformers = load(raw, self.values.transformers.services)
