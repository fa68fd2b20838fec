"""Leadership of one member, as time goes by: taking office, losing it, handing it over, and who is told.

A handover puts new entries on hold, waits until the heir has the whole log, asks it to stand for election at once,
and ends with leadership, the heir's connection or the caller's patience. The store is told that this member leads
once its first own entry is applied, for only then does it know everything that earlier leaders promised.
"""

from __future__ import annotations

from collections.abc import Callable

from store.component import logs
from store.raft.adapter import Core
from store.raft.replication import Replication
from store.raft.requests import Requests

_log = logs.get("store.raft")


class Leadership:
    def __init__(self, core: Core, requests: Requests, replication: Replication) -> None:
        self.callbacks: list[Callable[[bool], None]] = []
        self._core = core
        self._requests = requests
        self._replication = replication
        self._transfer: tuple[int, float, bool] | None = None  # to whom, until when, whether it was told
        self._leading = False
        self._announced = False
        self._leader = 0

    def note(self) -> None:
        """Whatever changed in the step so far."""
        core = self._core
        if core.leader != self._leader:
            self._leader = core.leader
            self._requests.reads.reset()
            self._requests.connected_anew()
            _log.info("leader", term=core.term, leader=f"{core.leader:x}" if core.leader else "none")
        if core.is_leader == self._leading:
            return
        self._leading = core.is_leader
        self._replication.reset()
        self._end_transfer()
        if core.is_leader:
            self._requests.lead()
        else:
            self._requests.follow()
            self.announce(False)

    def disconnected(self, peer: int) -> None:
        if peer == self._leader:
            self._leader = 0  # even if it is heard again in this very turn

    # Handing over

    @property
    def transferring(self) -> bool:
        return self._transfer is not None

    def transfer(self, to: int, deadline: float) -> None:
        self._transfer = (to, deadline, False)
        self._requests.on_hold = True

    def continue_transfer(self, now: float, connected: set[int]) -> None:
        if self._transfer is None:
            return
        to, deadline, told = self._transfer
        if not self._core.is_leader or now > deadline or to not in connected:
            self._end_transfer()
        elif not told and self._core.match(to) == self._core.log.last_index:
            self._transfer = (to, deadline, True)
            self._core.hand_over(to)

    def _end_transfer(self) -> None:
        self._transfer = None
        self._requests.on_hold = False

    # As the store sees it

    def announce_when_ready(self) -> None:
        core = self._core
        if not self._announced and core.is_leader and core.applied >= core.noop_index > 0:
            self.announce(True)

    def announce(self, leading: bool) -> None:
        if leading != self._announced:
            self._announced = leading
            for callback in self.callbacks:
                callback(leading)
