"""The seam between consensus and the state machine it replicates.

`Engine` is what the rest of the store knows of Raft: propose bytes, wait for a read index, ask for the
status. `StateMachine` is what the engine knows of the store: apply committed commands in order, make a
snapshot, restore one. Neither knows the other's encoding: a command is opaque bytes.

Contract of the pair:

* `apply` is called with committed commands in log order, exactly once per member and boot (a boot restarts
  from the last snapshot), and is deterministic: no clock, no randomness. An error is a *result*, never an
  exception; an exception from `apply` stops the member.
* A proposal may be made on any member; a follower hands it to the leader over the peer transport. The result
  comes from the *local* state machine once the command is applied here, so a client that wrote through a member
  reads its write from that member.
* A proposal that ends in `ProposalDropped` or `NotLeader` was certainly not applied and never will be. One
  that ends in `OutcomeUnknown` may have been, or may still be. The engine proposes again only what is certain
  never to be applied (its leader was replaced before it entered the log).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol


class RaftError(Exception):
    """Root of the consensus errors.

    RaftError
    ├── NotLeader          no leader is known, or it changed before the proposal was sent on
    ├── ProposalDropped    refused before it entered the log
    │   └── TooManyRequests    the bound on proposals in flight is reached
    ├── OutcomeUnknown     sent on, but no result arrived in time
    ├── ReadTimeout        no quorum confirmed the read index in time
    ├── MembershipError    the change of members is not possible now; the text says why
    └── Stopped            the engine is stopping
    """


class NotLeader(RaftError): ...


class ProposalDropped(RaftError): ...


class TooManyRequests(ProposalDropped): ...


class OutcomeUnknown(RaftError): ...


class ReadTimeout(RaftError): ...


class MembershipError(RaftError): ...


class Stopped(RaftError): ...


class Role(StrEnum):
    LEADER = "leader"
    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    LEARNER = "learner"


@dataclass(frozen=True, slots=True)
class Member:
    """One member of the cluster. `id` is etcd's 64-bit member id; `name` is what its certificate says."""

    id: int
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    is_learner: bool = False


@dataclass(frozen=True, slots=True)
class RaftStatus:
    cluster_id: int
    member_id: int
    name: str
    role: Role
    term: int
    leader_id: int  # 0 when none is known
    last_index: int
    commit_index: int
    applied_index: int
    snapshot_index: int
    wal_size_bytes: int
    members: tuple[Member, ...]


Loading = Generator[None, None, Callable[[], None]]
"""A snapshot's state on its way in. What it returns at its end puts that state in place; until then, and after an
exception, the old one is."""


class SnapshotView(Protocol):
    """A point-in-time view that stays valid while `apply` goes on; released when its chunks are exhausted."""

    def chunks(self) -> Iterable[bytes]:
        """Yield the state in pieces of at most about 1 MiB; called from the event loop, a piece at a time."""


class StateMachine(Protocol):
    def apply(self, index: int, commands: Sequence[bytes]) -> Sequence[Any]:
        """Apply the commands of the log entry at `index`; return one result for each."""

    def snapshot(self) -> SnapshotView: ...

    def load(self, chunks: Iterable[bytes]) -> Loading:
        """Build the state of a snapshot beside the one that serves, a piece at each `next`."""

    def restore(self, chunks: Iterable[bytes]) -> None:
        """Replace the whole state at once: `load` and its result. After an exception the old one is in place."""


class Engine(Protocol):
    async def start(self) -> None: ...

    async def stop(self) -> None:
        """Hand leadership over if held, finish what is in flight, close the log."""

    async def propose(self, command: bytes, timeout_s: float = 5.0) -> Any:
        """Replicate `command`; return the local state machine's result. Raises RaftError (see its tree)."""

    async def read_index(self, timeout_s: float = 5.0) -> int:
        """Return once the local state machine has applied all that was committed when the call was made."""

    def status(self) -> RaftStatus: ...

    def on_leadership(self, callback: Callable[[bool], None]) -> None:
        """`callback(True)` after this member became leader and applied its first own entry; `False` on loss."""

    async def transfer_leadership(self, to_member_id: int) -> None: ...

    async def add_member(self, member: Member) -> None: ...

    async def promote_member(self, member_id: int) -> None: ...

    async def remove_member(self, member_id: int) -> None: ...

    async def update_member(self, member: Member) -> None: ...
