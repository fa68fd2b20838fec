"""A stopped member's state, from its directory: the newest snapshot and every entry of the log behind it.

Entries count that were not known to be committed too: an acknowledged write is never left out, one whose outcome
nobody was told may be in (as it may be after any failure).
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from store.api.leases import LeaseKeeper
from store.api.machine import StoreMachine
from store.raft import offline
from store.raft.disk import OsDisk
from store.raft.entry import Kind, unpack_change, unpack_commands
from store.raft.errors import Corrupted
from store.raft.interface import MembershipError, RaftStatus, Role
from store.raft.membership import Membership
from store.raft.storage import lock_directory


def load(data_dir: Path, up_to_damage: bool = False) -> tuple[StoreMachine, RaftStatus, Corrupted | None]:
    """The state, whose it is, and the damage before which it ends. Raises StorageError, Damaged."""
    if not (data_dir / "member").is_dir():
        raise Corrupted(data_dir, 0, "not the data directory of a member")
    lock = lock_directory(data_dir)
    try:
        remains = offline.read(OsDisk(), data_dir, up_to_damage)
        machine = StoreMachine(LeaseKeeper(lambda: 0.0))
        if remains.snapshot is not None:
            machine.restore(remains.snapshots.chunks(remains.snapshot))
        membership, applied = _replay(remains, machine)
        term = max(remains.state.term, remains.state.entries[-1][2] if remains.state.entries else 0)
        members = membership.sorted()
        status = RaftStatus(
            *(remains.cluster_id, remains.member_id, remains.name, Role.FOLLOWER, term, 0),
            *(applied, applied, applied, remains.snapshot_index, 0, members),
        )
        return machine, status, remains.damage
    finally:
        os.close(lock)


def _replay(remains: offline.Remains, machine: StoreMachine) -> tuple[Membership, int]:
    membership = remains.membership
    entries = remains.state.entries
    applied = remains.snapshot_index or (entries[0][1] if entries else 0)
    for data, index, _ in entries[1:]:
        if index <= applied:
            continue
        if index != applied + 1:
            raise Corrupted(
                remains.snapshot, 0, f"ends at entry {applied}, but the log goes on with entry {index}"
            )
        if data[0] == Kind.COMMANDS:
            machine.apply(index, [command for group in unpack_commands(data) for command in group.commands])
        elif data[0] == Kind.CHANGE:
            with contextlib.suppress(MembershipError):  # refused then, too
                membership = membership.apply(unpack_change(data)[2])
        applied = index
    return membership, applied


def advice(data_dir: Path) -> str:
    """What to do about a damaged directory."""
    return (
        f"If most other members are well, remove this one, delete {data_dir} and add it again; if it is the "
        f"last one: balsa store snapshot save FILE --data-dir {data_dir} --up-to-damage, then snapshot restore "
        "(docs/guides/store-recovery.md)"
    )
