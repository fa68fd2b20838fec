"""The leases' time: the member's clock, and on the leader the proposals that end leases.

The observer of the state machine. Every member keeps deadlines; only the leader looks at them.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable

from store.api import commands as c
from store.component import logs
from store.lease.clock import CHECKPOINT_INTERVAL_S, LeaseClock
from store.lease.table import Lease, LeaseTable
from store.raft.interface import Engine, RaftError

EXPIRY_INTERVAL_S = 0.5  # etcd's
MAX_EXPIRIES_IN_FLIGHT = 16

log = logs.get("lease")


class LeaseKeeper:
    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._clock = LeaseClock()
        self._leading = False

    # -- LeaseObserver --

    def renewed(self, lease: Lease) -> None:
        self._clock.renewed(lease, self._now())

    def removed(self, id: int) -> None:
        self._clock.removed(id)

    def replaced(self, leases: Iterable[Lease]) -> None:
        self._clock.promote(leases, self._now())

    # -- asked by the service --

    def remaining_s(self, id: int) -> int:
        return math.ceil(self._clock.remaining_s(id, self._now()))

    # -- on the leader --

    def on_leadership(self, table: LeaseTable, leading: bool) -> None:
        self._leading = leading
        if leading:
            self._clock.promote(table, self._now())

    async def run(self, engine: Engine, table: Callable[[], LeaseTable]) -> None:
        """End what is due, for ever. `table` is asked each time, since a snapshot replaces it."""
        checkpoint_at = self._now() + CHECKPOINT_INTERVAL_S
        while True:
            await asyncio.sleep(EXPIRY_INTERVAL_S)
            if not self._leading:
                continue
            await self._expire(engine, table())
            if self._now() >= checkpoint_at:
                checkpoint_at = self._now() + CHECKPOINT_INTERVAL_S
                await self._checkpoint(engine, table())

    def due(self, table: LeaseTable) -> list[c.LeaseExpire]:
        """What to propose now: on the leader, the leases whose time is up."""
        if not self._leading:
            return []
        expired = [lease for id in self._clock.expired(self._now()) if (lease := table.find(id)) is not None]
        return [c.LeaseExpire(lease.id, lease.renewals) for lease in expired]

    async def _expire(self, engine: Engine, table: LeaseTable) -> None:
        due = self.due(table)
        for start in range(0, len(due), MAX_EXPIRIES_IN_FLIGHT):
            commands = due[start : start + MAX_EXPIRIES_IN_FLIGHT]
            await asyncio.gather(*(_propose(engine, command) for command in commands))

    async def _checkpoint(self, engine: Engine, table: LeaseTable) -> None:
        if remaining := self._clock.checkpoints(table, self._now()):
            await _propose(engine, c.LeaseCheckpoint(remaining))


async def _propose(engine: Engine, command: c.Command) -> None:
    """What fails is due again soon; a new leader sees to it if this one is none any more."""
    try:
        await engine.propose(c.encode(command))
    except RaftError as error:
        log.debug("could not propose", command=type(command).__name__, reason=error)
