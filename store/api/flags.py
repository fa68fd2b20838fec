"""The flags of `balsa store`: etcd's names, and what they are turned into."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from store.api.grpc.keepalive import MIN_TIME_S
from store.api.service import MAX_REQUEST_BYTES, QUOTA_BYTES
from store.component.flags import Parser, parse_duration
from store.component.process import FatalError
from store.mvcc.txn import MAX_TXN_OPS

_TEXT = """\
A member of the key-value store: Raft-replicated, with the etcd v3 API over HTTPS and mutual TLS. Members of
one cluster share --initial-cluster and --initial-cluster-token; a member's peer certificate carries its
name as the common name.

Commands about members, each with its own --help: snapshot, status, verify."""


def parser() -> Parser:
    parser = Parser("balsa store", _TEXT)
    _member_flags(parser)
    _tls_flags(parser)
    _tuning_flags(parser)
    return parser


def _member_flags(parser: Parser) -> None:
    add = parser.add_argument
    add("--name", default="default", help="this member's name")
    add("--data-dir", help="where the log and snapshots are kept; default <name>.balsa")
    add(
        "--listen-client-urls",
        default="https://127.0.0.1:2379",
        metavar="URL,…",
        help="where clients connect",
    )
    add("--listen-client-fd", type=int, help="an inherited listening socket for clients, instead of URLs")
    add("--advertise-client-urls", default="", metavar="URL,…", help="default: the URLs listened on")
    add("--listen-peer-urls", default="https://127.0.0.1:2380", metavar="URL,…", help="where peers connect")
    add("--initial-advertise-peer-urls", default="", metavar="URL,…", help="default: as in --initial-cluster")
    add("--initial-cluster", default="", metavar="NAME=URL,…", help="every member; default: this one alone")
    add(
        "--initial-cluster-state",
        choices=["new", "existing"],
        default="new",
        help="found a cluster, or join one",
    )
    add(
        "--join-endpoints",
        default="",
        metavar="URL,…",
        help="client URLs of the running cluster to join; default: its peers are asked",
    )
    add("--initial-cluster-token", default="etcd-cluster", help="keeps clusters apart that share URLs")


def _tls_flags(parser: Parser) -> None:
    for who, prefix in (("clients", ""), ("peers", "peer-")):
        parser.add_argument(f"--{prefix}cert-file", help=f"certificate shown to {who}")
        parser.add_argument(f"--{prefix}key-file", help="its key")
        parser.add_argument(f"--{prefix}trusted-ca-file", help=f"CA that signed the certificates of {who}")
        parser.add_bool(
            f"--{prefix}client-cert-auth", True, f"{who} must show a certificate; cannot be false"
        )


def _tuning_flags(parser: Parser) -> None:
    add = parser.add_argument
    add("--heartbeat-interval", type=int, default=100, metavar="MS", help="between the leader's heartbeats")
    add("--election-timeout", type=int, default=1000, metavar="MS", help="without a leader until an election")
    add("--snapshot-count", type=int, default=10_000, help="log entries from one snapshot to the next")
    add("--quota-backend-bytes", type=int, default=QUOTA_BYTES, help="size at which writes are refused")
    add("--max-request-bytes", type=int, default=MAX_REQUEST_BYTES, help="largest request")
    add("--max-txn-ops", type=int, default=MAX_TXN_OPS, help="most operations in one transaction")
    add(
        "--max-concurrent-connections",
        type=int,
        default=4096,
        help="most client connections; more are refused",
    )
    add(
        "--grpc-keepalive-min-time",
        type=parse_duration,
        default=MIN_TIME_S,
        metavar="DURATION",
        help="least time between two pings of a client",
    )
    add(
        "--auto-compaction-mode",
        choices=["periodic", "revision"],
        default="periodic",
        help="what retention means",
    )
    add("--metrics", choices=["basic", "extensive"], default="basic", help="extensive: times of calls too")
    add("--auto-compaction-retention", default="0", help="hours or a duration, or revisions; 0 turns it off")
    add(
        "--watch-progress-notify-interval",
        type=parse_duration,
        default=600.0,
        metavar="DURATION",
        help="between progress notifications of idle watches",
    )


@dataclass(frozen=True, slots=True)
class Retention:
    """Keep what is younger than `period_s`, or the last `revisions`; None of both: no auto-compaction."""

    period_s: float | None = None
    revisions: int | None = None


@dataclass(frozen=True, slots=True)
class ListenAddress:
    host: str
    port: int


def listen_addresses(urls: str, flag: str) -> list[ListenAddress]:
    return [_address(url, flag) for url in split(urls)]


def _address(url: str, flag: str) -> ListenAddress:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme != "https" or not parts.hostname or port is None:
        raise FatalError(f"{flag}: {url!r} is not https://HOST:PORT (there is no plain HTTP)")
    return ListenAddress(parts.hostname, port)


def initial_cluster(args: argparse.Namespace) -> Mapping[str, Sequence[str]]:
    """Name → peer URLs; one name may be given several times for several URLs, as in etcd."""
    text = args.initial_cluster
    if not text:
        return {args.name: split(args.initial_advertise_peer_urls or args.listen_peer_urls)}
    members: dict[str, list[str]] = {}
    for pair in split(text):
        name, equals, url = pair.partition("=")
        if not equals or not name or not url:
            raise FatalError(f"--initial-cluster: {pair!r} is not NAME=URL")
        members.setdefault(name, []).append(url)
    if args.name not in members:
        raise FatalError(f"--initial-cluster does not name this member, {args.name!r}")
    return members


def retention(args: argparse.Namespace) -> Retention:
    text = str(args.auto_compaction_retention)
    try:
        if args.auto_compaction_mode == "revision":
            return Retention(revisions=int(text) or None)
        # a bare number counts hours, as in etcd
        period_s = int(text) * 3600.0 if text.isdigit() else parse_duration(text)
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise FatalError(f"--auto-compaction-retention: {error}") from error
    return Retention(period_s=period_s or None)


def check(args: argparse.Namespace) -> None:
    """What the types of the flags cannot say."""
    if joins(args) and not args.join_endpoints and len(initial_cluster(args)) == 1:
        raise FatalError(
            "--initial-cluster-state=existing needs to know whom to ask: name the other members in "
            "--initial-cluster, or give their client URLs in --join-endpoints"
        )
    for prefix in ("", "peer_"):
        for name in ("cert_file", "key_file", "trusted_ca_file"):
            if not getattr(args, prefix + name):
                flag = (prefix + name).replace("_", "-")
                raise FatalError(f"--{flag} is needed: clients and peers speak mutual TLS only")
        if not getattr(args, f"{prefix}client_cert_auth"):
            raise FatalError("client certificates cannot be turned off")


def joins(args: argparse.Namespace) -> bool:
    """Is this the first start of a member that was added to a running cluster?"""
    return args.initial_cluster_state == "existing" and not data_dir(args).exists()


def data_dir(args: argparse.Namespace) -> Path:
    return Path(args.data_dir or f"{args.name}.balsa")


def split(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]
