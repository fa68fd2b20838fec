"""An engine without consensus: proposals are applied at once, and failures are arranged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from store.raft.interface import Member, NotLeader, RaftError, RaftStatus, Role, StateMachine

MEMBER_ID = 1


class InstantEngine:
    """An `Engine` of one member. `failure` is raised by proposals, `read_failure` by reads, when set."""

    def __init__(self, machine: StateMachine) -> None:
        self._machine = machine
        self.index = 0
        self.failure: RaftError | None = None
        self.read_failure: RaftError | None = None
        self.has_leader = True
        self.members = (Member(MEMBER_ID, "m1", ("https://127.0.0.1:2380",), ("https://127.0.0.1:2379",)),)

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def propose(self, command: bytes, timeout_s: float = 5.0) -> Any:
        if self.failure is not None:
            raise self.failure
        if not self.has_leader:
            raise NotLeader
        self.index += 1
        return self._machine.apply(self.index, [command])[0]

    async def read_index(self, timeout_s: float = 5.0) -> int:
        if self.read_failure is not None:
            raise self.read_failure
        return self.index

    def status(self) -> RaftStatus:
        leader = MEMBER_ID if self.has_leader else 0
        index = self.index
        role = Role.LEADER if self.has_leader else Role.FOLLOWER
        return RaftStatus(9, MEMBER_ID, "m1", role, 3, leader, index, index, index, 0, 0, self.members)

    def on_leadership(self, callback: Callable[[bool], None]) -> None: ...

    async def transfer_leadership(self, to_member_id: int) -> None: ...

    async def add_member(self, member: Member) -> None:
        self.members = (*self.members, member)

    async def promote_member(self, member_id: int) -> None: ...

    async def remove_member(self, member_id: int) -> None:
        self.members = tuple(member for member in self.members if member.id != member_id)

    async def update_member(self, member: Member) -> None: ...
