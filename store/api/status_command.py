"""`balsa store status`: every member as it sees itself, as `etcdctl endpoint status` shows it.

A member that does not answer is named on standard error, and the exit code is 1; the others are shown.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from certs.errors import CertsError
from store.api import credentials
from store.client import StatusResponse, StoreClient, StoreError
from store.component.process import FatalError

COLUMNS = (
    *("ENDPOINT", "ID", "VERSION", "DB SIZE", "IS LEADER", "IS LEARNER"),
    *("RAFT TERM", "RAFT INDEX", "RAFT APPLIED INDEX", "ERRORS"),
)
UNITS = ("B", "kB", "MB", "GB", "TB")


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    try:
        return asyncio.run(_run(args))
    except (StoreError, FatalError, CertsError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="balsa store status", description=__doc__)
    credentials.add_flags(parser)
    parser.add_argument(
        "--no-cluster", action="store_true", help="ask the endpoints given only, not every member"
    )
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    return parser


@dataclass(slots=True)
class Found:
    url: str
    status: StatusResponse | None = None
    failure: str = ""


async def _run(args: argparse.Namespace) -> int:
    async with StoreClient(credentials.endpoints(args), credentials.context(args)) as client:
        if not args.no_cluster:
            await client.sync()
        found = await asyncio.gather(*(_ask(client, url) for url in client.endpoints))
    for each in found:
        if each.status is None:
            print(f"{each.url} does not answer: {each.failure}", file=sys.stderr)
    answered = [(each.url, each.status) for each in found if each.status is not None]
    print(_json(answered) if args.output == "json" else table(COLUMNS, [_row(*each) for each in answered]))
    return int(len(answered) < len(found))


async def _ask(client: StoreClient, url: str) -> Found:
    try:
        return Found(url, await client.status(url))
    except StoreError as error:
        return Found(url, failure=str(error))


def _row(url: str, status: StatusResponse) -> list[str]:
    return [
        url,
        f"{status.member_id:x}",
        status.version,
        size(status.db_size_bytes),
        str(status.leader == status.member_id).lower(),
        str(status.is_learner).lower(),
        str(status.raft_term),
        str(status.raft_index),
        str(status.raft_applied_index),
        ", ".join(status.errors),
    ]


def _json(answered: Sequence[tuple[str, StatusResponse]]) -> str:
    """With etcdctl's names."""
    return orjson.dumps(
        [
            {
                "Endpoint": url,
                "Status": {
                    "header": {
                        "cluster_id": status.cluster_id,
                        "member_id": status.member_id,
                        "revision": status.revision,
                        "raft_term": status.raft_term,
                    },
                    "version": status.version,
                    "dbSize": status.db_size_bytes,
                    "leader": status.leader,
                    "raftIndex": status.raft_index,
                    "raftTerm": status.raft_term,
                    "raftAppliedIndex": status.raft_applied_index,
                    "dbSizeInUse": status.db_size_in_use_bytes,
                    **({"isLearner": True} if status.is_learner else {}),
                    **({"errors": status.errors} if status.errors else {}),
                },
            }
            for url, status in answered
        ]
    ).decode()


def size(size_bytes: int) -> str:
    """In thousands, two digits at least: 9 B, 1.2 kB, 12 kB."""
    value, unit = float(size_bytes), 0
    while value >= 1000 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    value = int(value * 10 + 0.5) / 10
    return f"{value:.1f} {UNITS[unit]}" if value < 10 and unit else f"{value:.0f} {UNITS[unit]}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    rule = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
    lines = [rule, _line([_centred(*each) for each in zip(head, widths, strict=True)]), rule]
    lines += [_line([text.rjust(width) for text, width in zip(row, widths, strict=True)]) for row in rows]
    return "\n".join([*lines, rule])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _centred(text: str, width: int) -> str:
    left = (width - len(text)) // 2
    return " " * left + text + " " * (width - len(text) - left)
