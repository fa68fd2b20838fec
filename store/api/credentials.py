"""Whom a command of ours asks, and what it shows: etcdctl's flags and variables."""

from __future__ import annotations

import argparse
import os
import ssl

from certs.tls import client_context
from store.api.flags import split
from store.component.process import FatalError


def add_flags(parser: argparse.ArgumentParser) -> None:
    env = os.environ.get
    parser.add_argument(
        *("--endpoints", "--endpoint"),
        default=env("ETCDCTL_ENDPOINTS", "https://127.0.0.1:2379"),
        metavar="URL,…",
        help="members to ask; ETCDCTL_ENDPOINTS",
    )
    parser.add_argument("--cacert", default=env("ETCDCTL_CACERT"), help="CA of the members; ETCDCTL_CACERT")
    parser.add_argument("--cert", default=env("ETCDCTL_CERT"), help="client certificate; ETCDCTL_CERT")
    parser.add_argument("--key", default=env("ETCDCTL_KEY"), help="its key; ETCDCTL_KEY")


def endpoints(args: argparse.Namespace) -> list[str]:
    return split(args.endpoints)


def context(args: argparse.Namespace) -> ssl.SSLContext:
    """Raises FatalError, CertsError."""
    if not args.cacert:
        raise FatalError("--cacert is needed: members speak mutual TLS only")
    return client_context(args.cacert, args.cert, args.key)
