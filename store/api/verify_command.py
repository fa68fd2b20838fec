"""`balsa store verify DIR`: read all of a stopped member's directory as its start does, and say what is in it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from store.api import recovery
from store.mvcc.snapshot import Damaged
from store.raft.errors import StorageError


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="balsa store verify", description=__doc__)
    parser.add_argument("directory", type=Path, metavar="DIR", help="what --data-dir of the member names")
    args = parser.parse_args(argv)
    try:
        machine, status, _ = recovery.load(args.directory)
    except (StorageError, Damaged, OSError) as error:
        print(f"error: {error}\n{recovery.advice(args.directory)}", file=sys.stderr)
        return 1
    members = ", ".join(member.name or f"{member.id:x}" for member in status.members)
    print(
        f"member {status.name} of {members}: term {status.term}, entry {status.applied_index}, "
        f"snapshot at entry {status.snapshot_index}, revision {machine.store.revision}, "
        f"{len(machine.store.index)} keys, hash {machine.store.hash_at(0)}"
    )
    return 0
