"""python -m tests.chaos [--minutes M] [--seed N] [--directory DIR] [--report FILE]"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.chaos.run import Chaos, Violation


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=1, help="of the load and the order of the faults")
    parser.add_argument("--workers", type=int, default=24)
    parser.add_argument("--rest", type=float, default=4.0, metavar="SECONDS", help="between faults")
    parser.add_argument("--directory", type=Path, help="for the members' data, on a real disk; kept")
    parser.add_argument("--report", type=Path, help="where to write the report")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="balsa-chaos-") as temporary:
        directory = args.directory or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        chaos = Chaos(directory, args.seed, 60 * args.minutes, args.rest, args.workers)
        try:
            text, failed = asyncio.run(chaos.run()).text(), 0
        except Violation as violation:
            text, failed = f"seed {args.seed}: VIOLATION: {violation}", 1
    print(text)
    if args.report is not None:
        args.report.write_text(text + "\n")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
