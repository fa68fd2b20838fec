"""What every result carries: the figures, the command, the machine, the commit."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

RESULTS = Path(__file__).parent / "results"


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, 90th and 99th percentile, extremes; rounded to what can be told apart."""
    ordered = sorted(values)

    def at(share: float) -> float:
        return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)], 4)

    return {
        "n": len(ordered),
        "p50": round(statistics.median(ordered), 4),
        "p90": at(0.9),
        "p99": at(0.99),
        "min": at(0),
        "max": at(1),
    }


def write(name: str, figures: dict[str, Any]) -> Path:
    result = {
        "benchmark": name,
        "figures": figures,
        "command": " ".join(["python -m bench", *sys.argv[1:]]),
        "commit": _git("rev-parse", "--short", "HEAD") + ("+" if _git("status", "--porcelain") else ""),
        "machine": {
            "cpus": os.cpu_count(),
            "cpu": _cpu(),
            "kernel": platform.release(),
            "python": platform.python_version(),
        },
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_bytes(orjson.dumps(result, option=orjson.OPT_INDENT_2))
    return path


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True, check=False, cwd=RESULTS.parent)
    return done.stdout.strip()


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
