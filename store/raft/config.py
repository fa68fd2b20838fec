"""What a member of the consensus group is told when it starts: identity, peers, timings and limits.

Timings follow etcd's flags. The election timeout is the least time without a word from the leader; each member
adds a random part of up to the same length again. A leader that dies is noticed much earlier, by its closed
connections (see `prevote`), so the timeout may be generous: it only has to cover a paused or partitioned leader,
and must outlast the stalls of a machine on which a dozen processes share two cores.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from store.raft.interface import Member

HEARTBEAT_INTERVAL_S = 0.1
ELECTION_TIMEOUT_S = 1.0
MIN_HEARTBEATS_PER_ELECTION = 4

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """Every bound of the engine, with what happens when it is reached."""

    request_bytes: int = 2 * MIB
    """One command: etcd's 1.5 MiB request and slack. Larger: ProposalDropped."""
    in_flight: int = 5000
    """Proposals of this member without a result. More: TooManyRequests."""
    in_flight_bytes: int = 64 * MIB
    """Their size together. More: TooManyRequests."""
    batch_bytes: int = 1 * MIB
    """Commands gathered into one log entry; the rest goes into the next one."""
    append_bytes: int = 1 * MIB
    """Entries gathered into one message (a single larger entry travels alone)."""
    window_bytes: int = 8 * MIB
    """Entries sent to a follower and not acknowledged. At the bound it gets heartbeats only."""
    outbox_bytes: int = 64 * MIB
    """Bytes waiting on one connection. More: the connection is dropped, and begins again."""
    inbox_messages: int = 512
    """Messages taken in one turn; the rest waits for the next one."""
    apply_s: float = 0.02
    """How long one turn applies entries before it lets the loop go on."""
    snapshot_chunk_bytes: int = 256 * KIB
    snapshot_window: int = 8
    """Chunks of a snapshot on the way to one follower."""
    snapshot_bytes_per_s: int = 16 * MIB
    """How fast a snapshot is written to this member's own disk while the log does not ask for more: the log's syncs
    want that disk too, and the requests the processor."""
    segment_bytes: int = 16 * MIB
    """A WAL file is closed and the next one begun at this size."""
    snapshot_wal_bytes: int = 64 * MIB
    """Log written since the last snapshot at which the next is due, however few the entries."""


@dataclass(frozen=True, slots=True)
class Join:
    """The running cluster that a member with an empty data directory joins; it was added there before."""

    cluster_id: int
    members: Sequence[Member]


@dataclass(frozen=True, slots=True)
class RaftConfig:
    name: str
    data_dir: Path
    initial_members: Mapping[str, Sequence[str]]
    """Name → peer URLs of every member, this one included. Counts on the first start only."""
    cluster_token: str = "etcd-cluster"  # noqa: S105  # etcd's default; names a cluster, opens nothing
    existing: bool = False
    """`--initial-cluster-state existing`: with an empty data directory, ask the other members who is there."""
    join: Join | None = None
    """What they answered; found out by the engine unless it is given."""
    listen_urls: Sequence[str] = ()
    """Where to listen for peers; this member's peer URLs when empty."""
    listen_sockets: Sequence[socket.socket] = ()
    """Listening sockets that a supervisor opened already; used instead of `listen_urls`."""
    advertise_client_urls: Sequence[str] = ()
    server_tls: ssl.SSLContext | None = None
    client_tls: ssl.SSLContext | None = None
    """Mutual TLS between peers: both contexts verify, the common name is the member's name. Without them there
    is no listening at all (tests drive the engine through a transport of their own)."""
    heartbeat_interval_s: float = HEARTBEAT_INTERVAL_S
    election_timeout_s: float = ELECTION_TIMEOUT_S
    snapshot_count: int = 10_000
    """Entries applied since the last snapshot at which the next one is taken."""
    catch_up_entries: int = 5_000
    """Entries kept behind a snapshot, so that a slow follower need not load it."""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.name not in self.initial_members:
            raise ValueError(
                f"member {self.name!r} is not in the initial cluster {sorted(self.initial_members)}"
            )
        if self.election_timeout_s < MIN_HEARTBEATS_PER_ELECTION * self.heartbeat_interval_s:
            raise ValueError(
                f"the election timeout ({self.election_timeout_s:g} s) must be at least "
                f"{MIN_HEARTBEATS_PER_ELECTION} heartbeat intervals ({self.heartbeat_interval_s:g} s)"
            )
