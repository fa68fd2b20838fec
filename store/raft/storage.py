"""Open a member's data directory: identity, log and newest snapshot, checked against each other.

    data-dir/lock           held while a process uses the directory
    data-dir/member/wal/    see `wal`
    data-dir/member/snap/   see `snapshot`

The snapshot and the log may disagree after a crash in one way only: a snapshot that came from the leader is in
place, and the log was not cut yet. The log's entries behind a snapshot that it matches are kept (stock pysyncobj
cleared the whole journal there, B4: acknowledged writes were lost when all members were killed at that moment).
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack

from store.raft.config import RaftConfig
from store.raft.disk import Disk
from store.raft.errors import Corrupted, DataDirLocked, WrongMember
from store.raft.log import FIRST, RaftLog
from store.raft.membership import Membership, member_id
from store.raft.snapshot import SnapshotStore
from store.raft.wal import Wal, WalState


@dataclass(slots=True)
class Storage:
    cluster_id: int
    member_id: int
    membership: Membership
    log: RaftLog
    snapshots: SnapshotStore
    snapshot: Path | None
    snapshot_index: int  # 0 without a snapshot
    applied: int  # what the state machine holds once the snapshot is restored


def open_storage(config: RaftConfig, disk: Disk) -> Storage:
    """Raises Corrupted, WrongMember."""
    directory = config.data_dir / "member"
    wal, state = _open_wal(config, disk, directory / "wal")
    cluster, member, membership = _identity(config, state.metadata)
    log = RaftLog(wal, state)
    snapshots = SnapshotStore(disk, directory / "snap")
    newest = snapshots.latest()
    if newest is None:
        if log.base_index > FIRST[1]:
            raise Corrupted(
                directory / "snap", 0, f"no snapshot, but the log begins after entry {log.base_index}"
            )
        return Storage(cluster, member, membership, log, snapshots, None, 0, log.base_index)
    meta = snapshots.read_meta(newest)
    if meta.index < log.base_index:
        raise Corrupted(newest, 0, f"ends at entry {meta.index}, but the log begins after {log.base_index}")
    if log.term_at(meta.index) != meta.term:
        log.reset(meta.index, meta.term)
        log.sync()
    log.set_commit(meta.index)
    return Storage(cluster, member, meta.membership, log, snapshots, newest, meta.index, meta.index)


def lock_directory(path: Path) -> int:
    """Own the directory until the descriptor is closed. Raises DataDirLocked."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise DataDirLocked(f"another process uses {path}") from error
    return descriptor


def _open_wal(config: RaftConfig, disk: Disk, directory: Path) -> tuple[Wal, WalState]:
    segment_bytes = config.limits.segment_bytes
    if Wal.exists(disk, directory):
        return Wal.open(disk, directory, segment_bytes)
    metadata = _first_metadata(config)
    wal = Wal.create(disk, directory, metadata, FIRST, segment_bytes)
    return wal, WalState(metadata, entries=[FIRST])


def _first_metadata(config: RaftConfig) -> bytes:
    membership = Membership.initial(config.initial_members, config.cluster_token)
    cluster, identifier = (
        membership.cluster_id,
        member_id(config.initial_members[config.name], config.cluster_token),
    )
    if config.join is not None:
        cluster = config.join.cluster_id
        membership = Membership({each.id: each for each in config.join.members})
        identifier = _own_id(config, membership)
    packed: bytes = msgpack.packb((cluster, identifier, config.name, membership.pack()))
    return packed


def _own_id(config: RaftConfig, membership: Membership) -> int:
    """By name; a member that was added and never started is known by its peer URLs only."""
    named = membership.by_name(config.name)
    if named is not None:
        return named.id
    urls = set(config.initial_members[config.name])
    for member in membership.members.values():
        if not member.name and urls == set(member.peer_urls):
            return member.id
    raise WrongMember(
        f"the cluster has no member {config.name!r} with peer URLs {sorted(urls)}: add it first"
    )


def has_log(config: RaftConfig, disk: Disk) -> bool:
    """Whether the member has been started before."""
    return Wal.exists(disk, config.data_dir / "member" / "wal")


def _identity(config: RaftConfig, metadata: bytes) -> tuple[int, int, Membership]:
    cluster, member, name, members = _unpack(metadata)
    if name != config.name:
        raise WrongMember(f"{config.data_dir} belongs to member {name!r}, not to {config.name!r}")
    return cluster, member, Membership.unpack(members)


def _unpack(metadata: bytes) -> tuple[int, int, str, list[Any]]:
    cluster, member, name, members = msgpack.unpackb(metadata)
    return cluster, member, name, members
