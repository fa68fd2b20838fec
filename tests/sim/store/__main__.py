"""python -m tests.sim.store --seed N [--trace] | --seeds A-B | --minutes M [--first A] | --mutations [NAME …]"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import count
from multiprocessing import get_context
from multiprocessing.pool import AsyncResult

from tests.sim.store import mutations
from tests.sim.store.simulation import Report, run_seed

SEEDS_PER_TASK = 10
SHOWN_EVERY = 500
MUTATION_SEEDS = 1000


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim.store", description=__doc__)
    parser.add_argument("--seed", type=int, help="run one seed and say what it did")
    parser.add_argument("--trace", action="store_true", help="with --seed: print every event")
    parser.add_argument(
        "--raise", dest="raising", action="store_true", help="with --seed: show the traceback"
    )
    parser.add_argument("--seeds", default="", metavar="A-B", help="run these seeds")
    parser.add_argument("--minutes", type=float, help="run seeds for so long")
    parser.add_argument("--first", type=int, default=0, help="with --minutes: the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--mutate", default="", help="with a defect of tests/sim/store/mutations.py put back")
    parser.add_argument("--mutations", nargs="*", metavar="NAME", help="find every defect (or these)")
    args = parser.parse_args(argv)
    if args.mutations is not None:
        return _hunt(args.mutations, args.seeds, args.jobs)
    if args.seed is not None:
        return _one(args.seed, args.trace, args.raising, args.mutate)
    first, _, last = (args.seeds or f"{args.first}-{args.first + 199}").partition("-")
    seeds: Iterable[int] = range(int(first), int(last or first) + 1)
    if args.minutes is not None:
        seeds = count(args.first)
    return _many(seeds, args.minutes, args.jobs, args.mutate)


def _one(seed: int, trace: bool, raising: bool, mutate: str) -> int:
    with mutations.applied(mutate):
        report = run_seed(seed, print if trace else None, raising)
    for name in Report.__slots__:
        print(f"{name:<11} {getattr(report, name)}")
    return 1 if report.violation else 0


def _many(seeds: Iterable[int], minutes: float | None, jobs: int, mutate: str) -> int:
    began = time.monotonic()
    total, kinds, failed = Counter[str](), Counter[str](), []
    for report in _reports(seeds, minutes, jobs, mutate):
        total.update(
            seeds=1,
            operations=report.operations,
            unanswered=report.unanswered,
            faults=report.faults,
            terms=report.terms,
            locks=report.locks,
            watched=report.watched,
            virtual_s=int(report.virtual_s),
        )
        kinds.update(report.kinds)
        if report.violation:
            failed.append(report)
            print(
                f"seed {report.seed}: {report.violation}\n  replay: {_replay(report.seed, mutate)}",
                flush=True,
            )
        if total["seeds"] % SHOWN_EVERY == 0:
            print(f"{total['seeds']} seeds, {len(failed)} violations", flush=True)
    took_s = time.monotonic() - began
    print(", ".join(f"{name} {number}" for name, number in total.items()))
    print("faults: " + ", ".join(f"{name} {number}" for name, number in kinds.most_common()))
    print(
        f"{total['seeds']} seeds in {took_s:.0f} s ({total['seeds'] / took_s:.1f}/s), {len(failed)} violations"
    )
    return 1 if failed else 0


def _replay(seed: int, mutate: str) -> str:
    return f"python -m tests.sim.store --seed {seed}{f' --mutate {mutate}' if mutate else ''} --trace"


def _reports(seeds: Iterable[int], minutes: float | None, jobs: int, mutate: str) -> Iterator[Report]:
    tasks = ((batch, mutate) for batch in _batches(seeds, minutes))
    if jobs <= 1:
        for task in tasks:
            yield from _run_batch(task)
        return
    with get_context("fork").Pool(jobs) as pool:
        running: deque[AsyncResult[list[Report]]] = deque()
        for task in tasks:  # no more ahead than the processes need, or `--minutes` would never end
            running.append(pool.apply_async(_run_batch, (task,)))
            if len(running) > 2 * jobs:
                yield from running.popleft().get()
        while running:
            yield from running.popleft().get()


def _batches(seeds: Iterable[int], minutes: float | None) -> Iterator[list[int]]:
    end = None if minutes is None else time.monotonic() + 60 * minutes
    batch = []
    for seed in seeds:
        batch.append(seed)
        if len(batch) == SEEDS_PER_TASK:
            yield batch
            batch = []
        if end is not None and time.monotonic() > end:
            return
    if batch:
        yield batch


def _run_batch(task: tuple[list[int], str]) -> list[Report]:
    seeds, mutate = task
    with mutations.applied(mutate):
        return [run_seed(seed) for seed in seeds]


def _hunt(names: list[str], seeds: str, jobs: int) -> int:
    """The first seed that finds each defect."""
    first, _, last = (seeds or f"0-{MUTATION_SEEDS - 1}").partition("-")
    missed = 0
    for name in names or list(mutations.TABLE):
        began = time.monotonic()
        found = None
        for seed in range(int(first), int(last) + 1):
            with mutations.applied(name):
                report = run_seed(seed)
            if report.violation:
                found = report
                break
        took_s = time.monotonic() - began
        if found is None:
            missed += 1
            print(f"{name:<34} NOT FOUND within seeds {first}-{last} ({took_s:.0f} s)", flush=True)
        else:
            by = found.violation.splitlines()[0][:110]
            print(f"{name:<34} seed {found.seed:<4} {took_s:5.0f} s  {by}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
