"""The configuration read again when its file has changed (`--encryption-provider-config-automatic-reload`).

A file that cannot be used changes nothing: the keys that were good stay, the failure is logged and counted.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from prometheus_client import Counter, Gauge

from control_plane.apiserver.storage.encryption.client import Values
from control_plane.apiserver.storage.encryption.configuration import load
from control_plane.apiserver.storage.encryption.errors import BadConfiguration
from store.component import logs

RELOAD_INTERVAL_S = 1.0

_PREFIX = "apiserver_encryption_config_controller_"
RELOADS = Counter(_PREFIX + "automatic_reloads", "Reloads of the configuration.", ("status",))
LAST = Gauge(_PREFIX + "automatic_reload_last_timestamp_seconds", "When it was last reloaded.", ("status",))
INFO = Gauge(_PREFIX + "last_config_info", "The configuration in use.", ("hash",))

log = logs.get("apiserver.encryption")


def read(path: Path) -> bytes:
    """Raises BadConfiguration."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadConfiguration(
            f"cannot read the encryption configuration {path}: {error.strerror}"
        ) from error


class Encryption:
    """`values` is what the client uses. Raises BadConfiguration."""

    def __init__(self, path: Path, *, reloads: bool) -> None:
        raw = read(path)
        self._path = path
        self._reloads = reloads
        self._seen = raw
        self.values = Values(load(raw))
        self._note(raw)

    async def run(self, refill: Callable[[], Awaitable[None]]) -> None:
        """`refill` is called when there are keys for what could not be read."""
        while self._reloads:
            await asyncio.sleep(RELOAD_INTERVAL_S)
            if self.check() and self.values.unreadable:
                self.values.unreadable.clear()
                await refill()

    def check(self) -> bool:
        """Whether there was another configuration, which is now in use."""
        try:
            raw = read(self._path)
            if raw == self._seen:
                return False
            self._seen = raw
            self.values.transformers = load(raw)
        except BadConfiguration as error:
            log.error("the encryption configuration cannot be reloaded", reason=error)
            self._count("failure")
            return False
        log.info("the encryption configuration was reloaded")
        self._note(raw)
        self._count("success")
        return True

    def _count(self, status: str) -> None:
        RELOADS.labels(status).inc()
        LAST.labels(status).set(time.time())

    def _note(self, raw: bytes) -> None:
        INFO.clear()
        INFO.labels(f"sha256:{hashlib.sha256(raw).hexdigest()}").set(1)
