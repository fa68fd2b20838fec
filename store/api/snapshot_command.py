"""`balsa store snapshot save|status|verify|restore`: the counterpart of etcdctl's commands.

The file is etcd's: `etcdctl snapshot restore` makes an etcd of ours, and this a Balsa of an etcd's.
`restore` makes the data directory of one member of a new cluster; with the same file and the same
--initial-cluster it is run once for each member.
"""

from __future__ import annotations

import argparse
import http.client
import os
import sys
from binascii import a2b_base64
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from certs.errors import CertsError
from store.api import credentials, flags, recovery, snapshot_file
from store.api.etcd_buckets import EtcdView
from store.api.snapshot_file import BadSnapshot
from store.component.process import FatalError
from store.mvcc.snapshot import Damaged
from store.raft.disk import OsDisk
from store.raft.errors import StorageError
from store.raft.membership import Membership
from store.raft.snapshot import SnapshotMeta, SnapshotStore

TIMEOUT_S = 60.0
RESTORED_INDEX, RESTORED_TERM = 2, 1  # of the log's first entry, which the snapshot stands for


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    try:
        args.command(args)
    except (
        BadSnapshot,
        Damaged,
        StorageError,
        FatalError,
        CertsError,
        OSError,
        http.client.HTTPException,
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="balsa store snapshot", description=__doc__)
    commands = parser.add_subparsers(required=True)
    save = commands.add_parser("save", help="download the state of a member")
    save.add_argument("file", type=Path)
    credentials.add_flags(save)
    save.add_argument("--data-dir", type=Path, help="of a stopped member, instead of asking one that runs")
    save.add_argument("--up-to-damage", action="store_true", help="of a damaged one what precedes the damage")
    save.set_defaults(command=_save)
    status = commands.add_parser(
        "status", help="check a file; print its checksum, revision, number of entries and size"
    )
    status.add_argument("file", type=Path)
    status.set_defaults(command=_status)
    verify = commands.add_parser("verify", help="the same, for who looks for it by this name")
    verify.add_argument("file", type=Path)
    verify.set_defaults(command=_status)
    restore = commands.add_parser("restore", help="make a data directory for a member of a new cluster")
    restore.add_argument("file", type=Path)
    restore.add_argument("--name", default="default")
    restore.add_argument("--data-dir", help="must not exist; default <name>.balsa")
    restore.add_argument("--initial-cluster", default="", metavar="NAME=URL,…")
    restore.add_argument("--initial-cluster-token", default="etcd-cluster")
    restore.add_argument("--initial-advertise-peer-urls", default="https://127.0.0.1:2380")
    restore.set_defaults(command=_restore)
    return parser


def _save(args: argparse.Namespace) -> None:
    aside = args.file.with_name(args.file.name + ".part")
    try:
        with aside.open("wb") as file:
            for blob in _salvage(args) if args.data_dir is not None else _download(args):
                file.write(blob)
            file.flush()
            os.fsync(file.fileno())
        snapshot_file.check(aside)
        aside.replace(args.file)
    finally:
        aside.unlink(missing_ok=True)
    print(f"Snapshot saved at {args.file}")


def _salvage(args: argparse.Namespace) -> Iterator[bytes]:
    machine, status, damage = recovery.load(args.data_dir, args.up_to_damage)
    if damage is not None:
        print(f"what follows is lost: {damage}", file=sys.stderr)
    view = EtcdView(machine, status)
    for piece, _ in snapshot_file.pieces(view):
        yield piece
    view.close()


def _download(args: argparse.Namespace) -> Iterator[bytes]:
    endpoint, tls = credentials.endpoints(args)[0], credentials.context(args)
    parts = urlsplit(endpoint)
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=tls, timeout=TIMEOUT_S)
    try:
        connection.request("POST", "/v3/maintenance/snapshot", b"{}")
        response = connection.getresponse()
        while line := response.readline():
            message = orjson.loads(line)
            if "result" not in message:
                raise FatalError(f"{endpoint}: {message.get('error', message)}")
            yield a2b_base64(message["result"].get("blob", ""))
    finally:
        connection.close()


def _status(args: argparse.Namespace) -> None:
    checksum = snapshot_file.check(args.file)
    revision = snapshot_file.load(args.file).store.revision
    print(f"{checksum[:8]}, {revision}, {snapshot_file.entries(args.file)}, {args.file.stat().st_size}")


def _restore(args: argparse.Namespace) -> None:
    snapshot_file.check(args.file)
    machine = snapshot_file.load(args.file)
    directory = flags.data_dir(args)
    if directory.exists():
        raise FatalError(f"{directory} exists already")
    args.listen_peer_urls = args.initial_advertise_peer_urls
    membership = Membership.initial(flags.initial_cluster(args), args.initial_cluster_token)
    snapshots = SnapshotStore(OsDisk(), directory / "member" / "snap")
    writer = snapshots.write(SnapshotMeta(RESTORED_INDEX, RESTORED_TERM, membership))
    for chunk in machine.snapshot().chunks():
        writer.write(chunk)
    writer.finish()
    print(f"Restored member {args.name} to {directory}")
