"""`make fuzz`: every parser for a while, led by coverage (atheris, where it can be had for this Python).

Each target runs in a process of its own, so that a crash, a hang (`-timeout`) or too much memory (`-rss_limit_mb`)
of one is told and does not end the others. A failing input is kept; give its file to try it again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.targets import TARGETS, seeds

OPTIONS = (
    "-timeout=10",  # seconds for one input
    "-rss_limit_mb=1024",
    "-max_len=16384",
    "-artifact_prefix=fuzz-failure-",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--target", action="append", choices=list(TARGETS), help="default: all")
    parser.add_argument("--corpus", type=Path, help="kept from run to run; default: none is kept")
    parser.add_argument("--try", dest="file", type=Path, help="run one input through the targets")
    args = parser.parse_args()
    names = args.target or list(TARGETS)
    if args.file is not None:
        for name in names:
            print(f"{name}: {'understood' if TARGETS[name](args.file.read_bytes()) else 'refused'}")
        return 0
    failed = [name for name in names if not _run(name, args.seconds, args.corpus)]
    print(
        f"{len(names) - len(failed)} of {len(names)} targets held"
        + "".join(f"\n  failed: {n}" for n in failed)
    )
    return int(bool(failed))


def _run(name: str, seconds: int, corpus: Path | None) -> bool:
    with tempfile.TemporaryDirectory() as scratch:
        directory = (corpus or Path(scratch)) / name
        directory.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds(name)):
            (directory / f"seed-{number}").write_bytes(seed)
        argv = [sys.executable, "-m", "tests.fuzz.child", name, *OPTIONS, f"-max_total_time={seconds}"]
        done = subprocess.run([*argv, str(directory)], capture_output=True, text=True)
    tail = [line for line in done.stderr.splitlines() if "DONE" in line or "Done" in line]
    print(f"{name}: {tail[-1] if done.returncode == 0 and tail else done.stderr[-3000:]}", flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
