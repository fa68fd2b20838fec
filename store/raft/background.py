"""What a member does beside its turns: write snapshots, and put those in place that the leader sent.

One job at a time. A snapshot is written a piece at a time, the file work in a thread, no faster than a stated rate
unless the log grows so fast that it must be. One that came is loaded a piece at a time beside the state that still
serves. Turns, and so heartbeats and answers, go on meanwhile; only the last step of either job, and each piece of
the log that is forgotten then, needs a moment between two turns. An error ends the member, as one in a turn does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from store.component import logs
from store.raft.interface import StateMachine, Stopped
from store.raft.replica import Replica
from store.raft.snapshot import SnapshotStore
from store.raft.turns import Turns

REMOVAL_PAUSE_S = 0.05
"""Between two parts: a file system that tells its disk of each (`discard`) syncs nothing else in that time."""

_NO_MORE = object()
_log = logs.get("store.raft")


class Background:
    def __init__(
        self,
        replica: Replica,
        machine: StateMachine,
        snapshots: SnapshotStore,
        turns: Turns,
        bytes_per_s: int,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._replica = replica
        self._machine = machine
        self._snapshots = snapshots
        self._turns = turns
        self._bytes_per_s = bytes_per_s
        self._failed = failed
        self._job: asyncio.Task[None] | None = None

    def look(self) -> None:
        """Begin what is due; called after every turn."""
        if self._job is not None:
            return
        if self._replica.installer.received is not None:
            self._begin(self._install())
        elif self._replica.snapshot_due:
            self._begin(self._snapshot())

    async def stop(self) -> None:
        if self._job is not None:
            self._job.cancel()
            await asyncio.gather(self._job, return_exceptions=True)

    def _begin(self, job: Coroutine[Any, Any, None]) -> None:
        self._job = asyncio.get_running_loop().create_task(self._guard(job))

    async def _guard(self, job: Coroutine[Any, Any, None]) -> None:
        try:
            await job
        except Stopped:
            pass
        except Exception as error:
            self._failed(error)
        finally:
            self._job = None

    async def _snapshot(self) -> None:
        loop = asyncio.get_running_loop()
        meta = self._replica.snapshot_meta()
        view = self._machine.snapshot()
        writer = await loop.run_in_executor(None, self._snapshots.write, meta)
        try:
            began, written = loop.time(), 0
            for chunk in view.chunks():
                await loop.run_in_executor(None, writer.write, chunk)
                written += len(chunk)
                ahead_s = written / self._bytes_per_s - (loop.time() - began)
                await asyncio.sleep(0 if self._replica.compaction.hurries(written) else ahead_s)
            await loop.run_in_executor(None, writer.finish)
        except BaseException:
            writer.abort()
            raise
        await self._turns.between(lambda: self._replica.snapshot_taken(meta))
        await self._clean_up()
        _log.info("took a snapshot", index=meta.index, term=meta.term)

    async def _install(self) -> None:
        received = self._replica.installer.received
        assert received is not None
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, received[0].finish)
        for _ in self._replica.installer.load():
            await asyncio.sleep(0)
        await self._turns.between(self._replica.install_received)
        await self._clean_up()

    async def _clean_up(self) -> None:
        """Of what the newest snapshot makes superfluous."""
        compaction = self._replica.compaction
        pieces = compaction.forgetting()
        while await self._turns.between(lambda: next(pieces, _NO_MORE)) is not _NO_MORE:  # noqa: ASYNC110
            await asyncio.sleep(0)
        loop, pieces = asyncio.get_running_loop(), compaction.removing()
        while await loop.run_in_executor(None, next, pieces, _NO_MORE) is not _NO_MORE:  # noqa: ASYNC110
            await asyncio.sleep(REMOVAL_PAUSE_S)
