"""From `balsa up` to three Ready nodes and the default service account, as a user waits for it: the command is run
as a program, in an empty directory, several times. And the memory of every process a little later."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from typing import Any

from bench.cluster.home import fresh_home
from bench.report import spread
from cluster.home import Home

RUNS = 5
SETTLE_S = 20.0  # as the figures of Kubernetes are taken 20 s after its start


def run() -> dict[str, Any]:
    totals: list[float] = []
    stages: dict[str, list[float]] = {}
    memory: dict[str, float] = {}
    for number in range(RUNS):
        with fresh_home() as home:
            began = time.monotonic()
            output = _balsa(home, "up")
            totals.append(time.monotonic() - began)
            for stage, seconds in re.findall(r"^\s*✓ (.+?)\s+([\d.]+) s$", output, re.M):
                stages.setdefault(stage, []).append(float(seconds))
            if number == RUNS - 1:
                time.sleep(SETTLE_S)
                memory = _memory(json.loads(_balsa(home, "status", "-o", "json")))
    return {
        "balsa up, whole command (s)": spread(totals),
        "stages (s)": {stage: spread(values) for stage, values in stages.items()},
        "memory (PSS, MiB)": memory,
    }


def _balsa(home: Home, *words: str) -> str:
    environment = {**os.environ, "BALSA_HOME": str(home.root)}
    command = [sys.executable, "-m", "cluster.cli", *words]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def _memory(status: dict[str, Any]) -> dict[str, float]:
    found = {row["name"]: round(row["memory_bytes"] / 2**20, 1) for row in status["processes"]}
    found["supervisor"] = round(status["supervisor_memory_bytes"] / 2**20, 1)
    return {**found, "all": round(sum(found.values()), 1)}
