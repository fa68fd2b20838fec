"""`python -m tests.sim.loops --seeds 0:5000`: each seed is a run of its own; exit status 1 when one went wrong.
`--kills`: one workload again and again, with a process killed at each of its writes."""

from __future__ import annotations

import argparse
import logging
import sys
import time

from tests.sim.loops import kills
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
    parser.add_argument("--kills", action="store_true", help="kill at every write instead")
    args = parser.parse_args()
    first, _, last = args.seeds.partition(":")
    seeds = range(int(first), int(last)) if args.seed is None else range(args.seed, args.seed + 1)
    logging.disable(logging.CRITICAL if args.seed is None else logging.NOTSET)
    return run_kills() if args.kills else run(seeds)


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


def run_kills() -> int:
    began, wrong, total = time.monotonic(), 0, 0
    expected = kills.undisturbed()
    for process, count in kills.writes().items():
        print(f"{process}: {count} writes", flush=True)
        for number in range(count):
            for after in (False, True):
                total += 1
                try:
                    kills.kill_at(process, number, after, expected)
                except Wrong as error:
                    wrong += 1
                    print(error, flush=True)
    print(f"{total} kills: {wrong} wrong, {time.monotonic() - began:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
