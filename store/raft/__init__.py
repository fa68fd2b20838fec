"""Consensus: a durable, linearizable replicated log behind the seam in `interface`.

`RaftNode` is the engine, `RaftConfig` what it is told. Who only needs the seam imports `store.raft.interface`.
"""

from store.raft.config import Join, Limits, RaftConfig
from store.raft.disk import DiskFaults, FaultyDisk
from store.raft.engine import RaftNode
from store.raft.errors import (
    CannotJoin,
    Corrupted,
    DataDirLocked,
    DiskFailed,
    ProtocolError,
    StorageError,
    WrongMember,
)
from store.raft.interface import (
    Engine,
    Member,
    MembershipError,
    NotLeader,
    OutcomeUnknown,
    ProposalDropped,
    RaftError,
    RaftStatus,
    ReadTimeout,
    Role,
    SnapshotView,
    StateMachine,
    Stopped,
    TooManyRequests,
)
from store.raft.membership import cluster_id, member_id
from store.raft.transport import PartitionFaults

__all__ = [
    "CannotJoin",
    "Corrupted",
    "DataDirLocked",
    "DiskFailed",
    "DiskFaults",
    "Engine",
    "FaultyDisk",
    "Join",
    "Limits",
    "Member",
    "MembershipError",
    "NotLeader",
    "OutcomeUnknown",
    "PartitionFaults",
    "ProposalDropped",
    "ProtocolError",
    "RaftConfig",
    "RaftError",
    "RaftNode",
    "RaftStatus",
    "ReadTimeout",
    "Role",
    "SnapshotView",
    "StateMachine",
    "Stopped",
    "StorageError",
    "TooManyRequests",
    "WrongMember",
    "cluster_id",
    "member_id",
]
