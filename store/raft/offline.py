"""What a stopped member's directory holds, read without changing it.

For looking at it, and for the way back from a lost quorum. With `up_to_damage` everything before the first
damaged record counts; what follows is lost, which nobody may do to a member that is to go on among others: it
would have forgotten what it promised them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import msgpack

from store.raft.disk import Disk
from store.raft.errors import Corrupted
from store.raft.membership import Membership
from store.raft.record import HEADER_BYTES, Scan, check_header, scan
from store.raft.snapshot import SUFFIX as SNAPSHOT_SUFFIX
from store.raft.snapshot import SnapshotStore
from store.raft.wal import SUFFIX, WalState, replay


@dataclass(slots=True)
class Remains:
    cluster_id: int
    member_id: int
    name: str
    membership: Membership  # as of the snapshot; of the first start without one
    state: WalState
    snapshots: SnapshotStore
    snapshot: Path | None
    snapshot_index: int
    damage: Corrupted | None


def read(disk: Disk, data_dir: Path, up_to_damage: bool = False) -> Remains:
    """Raises Corrupted."""
    directory = data_dir / "member"
    state, damage = _read_log(disk, directory / "wal", up_to_damage)
    if state.metadata:
        cluster, member, name, members = msgpack.unpackb(state.metadata)
        membership = Membership.unpack(members)
    else:
        cluster, member, name, membership = 0, 0, "", Membership({})
    found = SnapshotStore(disk, directory / "snap") if _has_snapshot(disk, directory / "snap") else None
    newest = found.latest() if found is not None else None
    if found is None or newest is None:
        if not state.metadata:
            raise damage or Corrupted(directory, 0, "no log and no snapshot")
        if state.entries[0][1] > 1:
            raise Corrupted(directory / "snap", 0, "no snapshot, but the log does not begin at its beginning")
        return Remains(
            cluster, member, name, membership, state, SnapshotStore(disk, directory), None, 0, damage
        )
    meta = found.read_meta(newest)
    return Remains(cluster, member, name, meta.membership, state, found, newest, meta.index, damage)


def _has_snapshot(disk: Disk, directory: Path) -> bool:
    return any(name.endswith(SNAPSHOT_SUFFIX) for name in disk.list(directory))


def _read_log(disk: Disk, directory: Path, up_to_damage: bool) -> tuple[WalState, Corrupted | None]:
    state, last_batch = WalState(b""), -1
    numbers = [int(name.removesuffix(SUFFIX), 16) for name in disk.list(directory) if name.endswith(SUFFIX)]
    missing = [before + 1 for before, after in pairwise(numbers) if after != before + 1]
    for number in numbers:
        path = directory / f"{number:016x}{SUFFIX}"
        damage = None
        try:
            if number - 1 in missing:
                raise Corrupted(directory / f"{number - 1:016x}{SUFFIX}", 0, "the segment is missing")
            found = _scan(path, disk.read(path), number, last_batch, number == numbers[-1])
        except Corrupted as error:
            if not up_to_damage:
                raise
            if error.path != path or error.offset <= HEADER_BYTES:
                return state, error
            damage = error
            found = scan(path, disk.read(path)[: error.offset], last_batch)
        if found.records:
            replay(path, found.records, state)
        last_batch = found.last_batch
        if damage is not None:
            return state, damage
    return state, None


def _scan(path: Path, data: bytes, number: int, last_batch: int, is_last: bool) -> Scan:
    check_header(path, data, number)
    found = scan(path, data, last_batch)
    if found.torn and not is_last:
        raise Corrupted(path, found.end, "the segment ends in a torn record, and a later one follows")
    return found
