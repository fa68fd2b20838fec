"""`python -m bench [driver …]`."""

from __future__ import annotations

import argparse
import importlib
import sys
import time

import orjson

from bench import report

DRIVERS = {
    "startup": "bench.cluster.startup",
    "pods": "bench.cluster.pods",
    "failover": "bench.cluster.failover",
    "store": "bench.store.bars",
    "store-requests": "bench.store.bars:run_requests",
    "store-memory": "bench.store.bars:run_memory",
    "store-stall": "bench.store.bars:run_stall",
    "store-steady": "bench.store.bars:run_steady",
    "scheduling": "bench.cluster.scheduling",
    "scale": "bench.cluster.scale",
    "apiserver": "bench.apiserver.load",
    "apiserver-layers": "bench.apiserver.layers",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure whole clusters.")
    parser.add_argument("drivers", nargs="*", help=f"which: {', '.join(DRIVERS)} (default: each once)")
    names = parser.parse_args().drivers or [name for name, where in DRIVERS.items() if ":" not in where]
    unknown = [name for name in names if name not in DRIVERS]
    if unknown:
        parser.error(f"no such driver: {', '.join(unknown)}")
    for name in names:
        began = time.monotonic()
        print(f"{name} …", flush=True)
        module, _, function = DRIVERS[name].partition(":")
        figures = getattr(importlib.import_module(module), function or "run")()
        print(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())
        print(f"{name}: {time.monotonic() - began:.0f} s, written to {report.write(name, figures)}")
    return 0


sys.exit(main())
