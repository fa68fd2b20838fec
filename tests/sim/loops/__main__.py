"""`python -m tests.sim.loops --seeds 0:5000`: each seed is a run of its own; exit status 1 when one went wrong."""

from __future__ import annotations

import argparse
import logging
import sys
import time

from tests.sim.loops.world import Wrong, simulate

REPORT_EVERY = 100


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.sim.loops", description="Simulate the control loops."
    )
    parser.add_argument("--seed", type=int, help="one seed")
    parser.add_argument(
        "--seeds", default="0:1000", metavar="FROM:TO", help="a range of them (default: 0:1000)"
    )
    args = parser.parse_args()
    first, _, last = args.seeds.partition(":")
    seeds = range(int(first), int(last)) if args.seed is None else range(args.seed, args.seed + 1)
    logging.disable(logging.CRITICAL if args.seed is None else logging.NOTSET)
    return run(seeds)


def run(seeds: range) -> int:
    began, wrong = time.monotonic(), 0
    for count, seed in enumerate(seeds, start=1):
        try:
            simulate(seed)
        except Wrong as error:
            wrong += 1
            print(error, flush=True)
        if count % REPORT_EVERY == 0:
            print(f"{count} seeds, {wrong} wrong, {time.monotonic() - began:.0f} s", flush=True)
    print(f"{len(seeds)} seeds from {seeds.start}: {wrong} wrong, {time.monotonic() - began:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
