"""The `--leader-elect…` flags of the components that run as several candidates, named as in Kubernetes."""

from __future__ import annotations

import argparse
import socket
import uuid

from control_plane.client.client import Client
from control_plane.client.leader_election import (
    LEASE_DURATION_S,
    RENEW_DEADLINE_S,
    RETRY_PERIOD_S,
    LeaderElector,
)
from store.component.flags import Parser, parse_duration

LOCK_NAMESPACE = "kube-system"


def add_leader_flags(parser: Parser, lease_name: str) -> None:
    parser.add_bool("--leader-elect", True, "run only while holding the lease")
    durations = (
        ("--leader-elect-lease-duration", LEASE_DURATION_S, "candidates wait this long after a renewal"),
        (
            "--leader-elect-renew-deadline",
            RENEW_DEADLINE_S,
            "the leader stops when it cannot renew for so long",
        ),
        ("--leader-elect-retry-period", RETRY_PERIOD_S, "time between tries to acquire or renew"),
    )
    for flag, default_s, text in durations:
        parser.add_argument(
            flag, type=parse_duration, default=f"{default_s:g}s", metavar="DURATION", help=text
        )
    parser.add_argument("--leader-elect-resource-name", default=lease_name, metavar="NAME", help="the lease")
    parser.add_argument(
        "--leader-elect-resource-namespace", default=LOCK_NAMESPACE, metavar="NAMESPACE", help="its namespace"
    )
    parser.add_argument(
        "--leader-elect-identity",
        default="",
        metavar="NAME",
        help="this candidate (default: host and random)",
    )


def elector_from(args: argparse.Namespace, client: Client) -> LeaderElector:
    """Raises ValueError for durations that do not fit together."""
    identity = args.leader_elect_identity or f"{socket.gethostname()}_{uuid.uuid4()}"
    return LeaderElector(
        client,
        args.leader_elect_resource_name,
        args.leader_elect_resource_namespace,
        identity,
        args.leader_elect_lease_duration,
        args.leader_elect_renew_deadline,
        args.leader_elect_retry_period,
    )
