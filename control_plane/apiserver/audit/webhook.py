"""Audit events posted to a server as an EventList; what fails is tried again with growing pauses, a few times."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import aiohttp

from control_plane.apiserver.review_client import ReviewClient

ATTEMPTS = 5
BACKOFF_FACTOR, BACKOFF_JITTER = 1.5, 0.2


class NotDelivered(Exception):
    """The server has not taken the events, for all attempts."""


class Webhook:
    def __init__(self, client: ReviewClient, initial_backoff_s: float) -> None:
        self._client = client
        self._initial_backoff_s = initial_backoff_s

    async def send(self, events: Sequence[bytes]) -> None:
        """Raises NotDelivered."""
        head = b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":['
        body = head + b",".join(events) + b"]}"
        pause_s, why = self._initial_backoff_s, ""
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(pause_s * (1 + BACKOFF_JITTER * random.random()))  # noqa: S311
                pause_s *= BACKOFF_FACTOR
            try:
                status = await self._client.post(body)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                why = f"{type(error).__name__}: {error}"
                continue
            if status < 300:
                return
            why = f"the webhook answered {status}"
        raise NotDelivered(why)

    async def close(self) -> None:
        await self._client.close()
