"""The flags of a process's own HTTPS door (health and metrics), and the door made from them."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Mapping

from certs.tls import server_context
from store.component.flags import Parser
from store.component.health import Check, HealthServer
from store.component.process import FatalError


def add_serving_flags(parser: Parser, default_port: int) -> None:
    parser.add_argument("--bind-address", default="127.0.0.1", metavar="IP", help="where health is served")
    parser.add_argument(
        "--secure-port",
        type=int,
        default=default_port,
        metavar="PORT",
        help="port of health and metrics; 0: none",
    )
    parser.add_argument("--tls-cert-file", default="", metavar="FILE", help="the door's certificate")
    parser.add_argument("--tls-private-key-file", default="", metavar="FILE", help="its key")
    parser.add_argument(
        "--client-ca-file",
        default="",
        metavar="FILE",
        help="CA of the clients that may ask; without it all may",
    )


def health_server(
    args: argparse.Namespace,
    live: Mapping[str, Check] | None = None,
    ready: Mapping[str, Check] | None = None,
) -> HealthServer | None:
    """None without a port or certificate: nothing is ever served in the clear. Raises FatalError."""
    if not args.secure_port or not args.tls_cert_file:
        return None
    context = server_context(args.tls_cert_file, args.tls_private_key_file, args.client_ca_file or None)
    door = socket.socket(socket.AF_INET6 if ":" in args.bind_address else socket.AF_INET)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((args.bind_address, args.secure_port))
    except OSError as error:
        door.close()
        raise FatalError(
            f"cannot listen on {args.bind_address}:{args.secure_port}: {error.strerror}"
        ) from error
    return HealthServer(door, context, live, ready)
