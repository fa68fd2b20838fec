"""Asking a server outside who somebody is or what they may: TokenReview and SubjectAccessReview over HTTPS.

Where it is and how it is trusted stands in a kubeconfig file, whose server is the whole URL. What cannot be
asked is asked again a few times, with growing pauses; a refusal by the server itself is final.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from certs.kubeconfig import KubeConfig
from control_plane.apiserver.messages import JSON

TIMEOUT_S = 10.0
ATTEMPTS = 4
FIRST_PAUSE_S, PAUSE_FACTOR, PAUSE_JITTER = 0.25, 1.5, 0.2
MAX_ANSWER_SIZE_BYTES = 1024 * 1024
MAX_CONNECTIONS = 64

Object = dict[str, Any]


class ReviewFailed(Exception):
    """There is no answer to be had."""


class ReviewClient:
    """Made without a loop; opens its connections when first used."""

    def __init__(self, config: KubeConfig, timeout_s: float = TIMEOUT_S) -> None:
        self._config = config
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    def load(cls, path: Path, timeout_s: float = TIMEOUT_S) -> ReviewClient:
        """Raises certs.errors.Unreadable."""
        return cls(KubeConfig.load(path), timeout_s)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(self, review: Object) -> Object:
        """The review with its status. Raises ReviewFailed."""
        body = orjson.dumps(review)
        pause_s, why = FIRST_PAUSE_S, ""
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(pause_s * (1 + PAUSE_JITTER * random.random()))  # noqa: S311
                pause_s *= PAUSE_FACTOR
            try:
                status, answer = await self._post(body)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                why = f"{type(error).__name__}: {error}"
                continue
            if status in (200, 201):
                return _review(answer)
            why = f"the webhook answered {status}"
            if status < 500 and status != 429:
                break
        raise ReviewFailed(why)

    async def post(self, body: bytes) -> int:
        """The status of the answer, asked once. Raises aiohttp.ClientError, OSError, TimeoutError."""
        return (await self._post(body))[0]

    async def _post(self, body: bytes) -> tuple[int, bytes]:
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=self._config.ssl_context(), limit=MAX_CONNECTIONS)
            headers = {"Content-Type": JSON, "Accept": JSON}
            if self._config.token:
                headers["Authorization"] = f"Bearer {self._config.token}"
            self._session = aiohttp.ClientSession(
                connector=connector, timeout=aiohttp.ClientTimeout(total=self._timeout_s), headers=headers
            )
        async with self._session.post(self._config.server, data=body, allow_redirects=False) as response:
            answer = await response.content.read(MAX_ANSWER_SIZE_BYTES)
            while not response.content.at_eof() and len(answer) < MAX_ANSWER_SIZE_BYTES:
                answer += await response.content.read(MAX_ANSWER_SIZE_BYTES - len(answer))
            return response.status, answer


def _review(answer: bytes) -> Object:
    try:
        review = orjson.loads(answer)
    except orjson.JSONDecodeError as error:
        raise ReviewFailed(f"the webhook's answer is no JSON: {error}") from error
    if not isinstance(review, dict) or not isinstance(review.get("status"), dict):
        raise ReviewFailed("the webhook's answer has no status")
    return review
