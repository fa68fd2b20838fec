"""The store beside a real etcd: three members each, TLS, every sync on the checkout's disk, one run, turn about.

The parts: throughput, watchers, failover on one pair of clusters; memory on a fresh pair; the stall of requests by
a background snapshot on a fresh Balsa alone (etcd writes its state in place); ten minutes of full load.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import uvloop

from bench.store import failover, memory, stall, steady, throughput, watchers
from bench.store.clusters import both

DISK = Path(__file__).parents[2]  # the checkout's, since a memory file system would make every sync free


def run() -> dict[str, Any]:
    return run_requests() | run_memory() | run_stall() | run_steady()


def run_requests() -> dict[str, Any]:
    return uvloop.run(_requests())


def run_memory() -> dict[str, Any]:
    return {"memory of a member with a million keys of 256 B, MiB": uvloop.run(_memory())}


def run_stall() -> dict[str, Any]:
    return {"requests while a snapshot of 1 GiB is written": uvloop.run(_stall())}


def run_steady() -> dict[str, Any]:
    return {"ten minutes of full load": uvloop.run(_steady())}


async def _requests() -> dict[str, Any]:
    async with both(DISK) as clusters:
        terms = {kind: await cluster.leader_term() for kind, cluster in clusters.items()}
        figures = await throughput.measure(clusters)
        figures["watch: 100 watchers, 1,000 writes/s"] = await watchers.measure(clusters)
        figures["elections during the run"] = {
            kind: await cluster.leader_term() - terms[kind] for kind, cluster in clusters.items()
        }
        figures["kill -9 of the leader to the next write"] = await failover.measure(clusters)
    return figures


async def _memory() -> dict[str, Any]:
    async with both(DISK) as clusters:
        return await memory.measure(clusters)


async def _stall() -> dict[str, Any]:
    async with both(DISK, ("balsa",)) as clusters:
        return await stall.measure(clusters["balsa"])


async def _steady() -> dict[str, Any]:
    async with both(DISK, ("balsa",)) as clusters:
        return await steady.measure(clusters["balsa"])
