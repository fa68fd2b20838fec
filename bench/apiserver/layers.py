"""Where the time of one create goes: what the client waits for, and what the apiserver's processor does for it.

The waiting is measured without a profile: the client's, the store's share of it by the apiserver's own metric, the
sync's share of that by the store's. The processor time is divided by a profile of the running server. Profiling
slows Python's functions and leaves compiled code (event loop, TLS, sockets) as it is: so compiled code counts as
it was seen, and the rest of what the processor spent without a profile is divided by the profile's shares.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import uvloop

from bench.apiserver.http_load import request
from bench.apiserver.load import Target, create
from bench.cluster.home import fresh_home, start
from bench.cluster.load import cpu
from certs.kubeconfig import KubeConfig
from cluster import readiness, spec
from cluster.home import Home

CLIENTS = (1, 16)
DURATION_S = 10.0
PROFILE_S = 6.0
MARGIN_S = 2.0
PROFILE = request("GET", f"/debug/pprof/profile?seconds={PROFILE_S}&clock=cpu")
CREATES = '{group="",operation="create",resource="configmaps"}'
STORE_WAIT, SYNC_WAIT = "of it, the store (mean)", "of it, a sync of the store's log (mean)"

ANSWER, FEED, STORE_ANSWER = (
    "apiserver/server.py:_handle",
    "watch_cache/feed.py:run",
    "component/http_connection.py:data_received",
)
STEPS = {  # what each begins with; all are called, in the end, by ANSWER
    "authentication": "apiserver/pipeline.py:_authenticate",
    "priority and fairness": "flowcontrol/fairness.py:admit",
    "authorization": "apiserver/pipeline.py:_authorize",
    "body: read, decode, check fields": "handlers/body.py:read_object",
    "managed fields": "handlers/managers.py:record_create",
    "mutating admission": "admission/chain.py:mutate",
    "validation": "apiserver/rules.py:validate_create",
    "validating admission": "admission/chain.py:validate",
    "store: encode and send": "storage/objects.py:create",
    "answer: encode": "handlers/respond.py:stored_object",
}
_LINE = re.compile(r"^\s*(?:\d+/)?(\d+)\s+\S+\s+\S+\s+(\S+)\s+\S+\s+(.+):\d+\((\w+)\)$", re.MULTILINE)
_TOTAL = re.compile(r"in ([\d.]+) seconds")


def run() -> dict[str, Any]:
    with fresh_home() as home:
        start(home, stores=1, apiservers=1, nodes=0, schedulers=0, controller_managers=0)
        return uvloop.run(_measure(home))


async def _measure(home: Home) -> dict[str, Any]:
    target = Target(home)
    await target.run(create, 1)
    return {f"{clients} clients": await _layers(target, clients) for clients in CLIENTS}


async def _layers(target: Target, clients: int) -> dict[str, Any]:
    plain, waits = await _creates(target, clients, DURATION_S)
    profiling = asyncio.create_task(_profile(target))
    await target.run(create, clients, PROFILE_S + MARGIN_S)
    profile, profiled_s = await profiling
    return {
        "per second": plain["per second"],
        "waiting (ms)": waits,
        "processor of the apiserver (µs)": divided(profile, profiled_s, plain["apiserver-1"]),
        "processor of the store (µs)": round(plain["store-1"]),
    }


async def _profile(target: Target) -> tuple[str, float]:
    """From when the load is there; and what the apiserver spent on the processor meanwhile."""
    await asyncio.sleep(MARGIN_S / 2)
    spent_s: dict[str, float] = {}
    with cpu(target.home, spent_s):
        _, profile = await target.once(PROFILE)
    return profile.decode(), spent_s["apiserver-1"]


async def _creates(
    target: Target, clients: int, duration_s: float
) -> tuple[dict[str, float], dict[str, float]]:
    """How many a second, and each process's microseconds on the processor for one; the waiting for one, in ms."""
    before = await asyncio.to_thread(_counters, target.home)
    result = await target.run(create, clients, duration_s)
    after = await asyncio.to_thread(_counters, target.home)
    waits = {"client (median)": result["p50 ms"]}
    for name, (sum_s, count) in after.items():
        waits[name] = round((sum_s - before[name][0]) / (count - before[name][1]) * 1e3, 3)
    creates = after[STORE_WAIT][1] - before[STORE_WAIT][1]
    spent = result["processor seconds by process"]
    return {
        "per second": result["per second"],
        **{name: seconds / creates * 1e6 for name, seconds in spent.items()},
    }, waits


def _counters(home: Home) -> dict[str, tuple[float, float]]:
    """Sum and count of each histogram that says how long something was waited for."""
    running = spec.load(home)
    assert running is not None
    api = KubeConfig.load(home.kubeconfig).ssl_context()
    store = readiness.store_context(home)
    found = {}
    for name, url, context, series, labels in (
        (STORE_WAIT, running.server(), api, "etcd_request_duration_seconds", CREATES),
        (SYNC_WAIT, running.store_endpoints()[0], store, "etcd_disk_wal_fsync_duration_seconds", ""),
    ):
        text = readiness.get(f"{url}/metrics", context)[1].decode()
        found[name] = (_value(text, f"{series}_sum{labels}"), _value(text, f"{series}_count{labels}"))
    return found


def _value(text: str, series: str) -> float:
    return float(text.partition(f"\n{series} ")[2].partition("\n")[0] or 0)


def divided(profile: str, profiled_s: float, plain_us: float) -> dict[str, int]:
    """For one create, in µs. Raises LookupError when a step's function has another name now."""
    spent_s, calls = {}, {}
    for number, seconds, path, name in _LINE.findall(profile):
        door = f"{'/'.join(path.split('/')[-2:])}:{name}"
        spent_s[door], calls[door] = float(seconds), int(number)
    total_s, creates = float(_TOTAL.findall(profile)[0]), calls[STEPS["managed fields"]]
    compiled_us = (profiled_s - total_s) / creates * 1e6
    python_us = plain_us - compiled_us

    def of(seconds: float) -> int:
        return round(python_us * seconds / total_s)

    steps = {name: of(spent_s[door]) for name, door in STEPS.items()}
    within_s = sum(spent_s[door] for door in STEPS.values())
    return {
        "all": round(plain_us),
        "event loop, TLS, sockets (compiled)": round(compiled_us),
        "HTTP server": of(total_s - spent_s[ANSWER] - spent_s[FEED] - spent_s[STORE_ANSWER]),
        "between the steps": of(spent_s[ANSWER] - within_s),
        **steps,
        "store: read its answers and events": of(spent_s[STORE_ANSWER]),
        "watch cache": of(spent_s[FEED]),
    }
