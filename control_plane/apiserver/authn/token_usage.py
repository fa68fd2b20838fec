"""On which day a token of a Secret was last used: a label of the Secret, for the loop that deletes unused ones.

Written at most once a day and Secret, behind the request's back; what fails is tried at the next use.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from typing import Any

from control_plane.api import meta
from control_plane.api.errors import StatusError
from control_plane.apiserver.admission.interface import Writer
from control_plane.apiserver.authn.legacy_tokens import LAST_USED, day
from store.client.errors import StoreError
from store.component import logs

MAX_WRITES = 16  # at once; more are left for the next use

Object = dict[str, Any]

log = logs.get("apiserver.authn")


class TokenUsage:
    def __init__(self, writer: Writer, clock: Callable[[], float]) -> None:
        self._writer = writer
        self._clock = clock
        self._writing: dict[str, asyncio.Task[None]] = {}

    def used(self, secret: Object) -> None:
        uid, today = meta.uid_of(secret), day(self._clock())
        if meta.labels(secret).get(LAST_USED) == today or uid in self._writing:
            return
        if len(self._writing) >= MAX_WRITES:
            return
        changed = copy.deepcopy(secret)
        meta.set_label(changed, LAST_USED, today)
        task = asyncio.get_running_loop().create_task(self._write(changed))
        self._writing[uid] = task
        task.add_done_callback(lambda _: self._writing.pop(uid, None))

    async def _write(self, secret: Object) -> None:
        try:
            await self._writer.update_status("", "secrets", secret)
        except (StatusError, StoreError) as error:
            log.info("the use of a token was not noted", secret=meta.key_of(secret), reason=str(error))
