"""python -m tests.fuzz.apiserver [--requests N] [--seed N]

Sends requests that are wrong in every layer to an apiserver of its own and judges the answers: each is a 4xx with a
Status, none is a 5xx, nothing hangs, nothing is written, the server's memory stays bounded.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import ssl
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import orjson
import uvloop

from bench.cluster.home import fresh_home, start
from certs.kubeconfig import KubeConfig
from cluster import control, process_table
from cluster.home import Home
from control_plane.api.errors import StatusError
from control_plane.client.client import Client
from control_plane.client.gvr import CONFIGMAPS, GVR, NAMESPACES, PODS, SERVICE_ACCOUNTS
from tests.fuzz.apiserver.mutations import ANONYMOUS, ANONYMOUS_SHARE, COMMON, COSTLY, COSTLY_SHARE
from tests.fuzz.apiserver.requests import COLLECTIONS, KEPT, NAMESPACE, Mutant
from tests.fuzz.apiserver.sender import Address, Sender
from tests.fuzz.apiserver.tunnels import POD

WORKERS = 16
SHOWN_PER_KIND = 3
WARM_UP_REQUESTS = 5_000
POLL_S = 0.1
READY_TIMEOUT_S = 60.0


class Run:
    def __init__(self, config: KubeConfig, requests: int, seed: int) -> None:
        parts = urlsplit(config.server)
        host, port = str(parts.hostname), int(parts.port or 443)
        self._known = Address(host, port, config.ssl_context())
        self._anonymous = Address(host, port, _anonymous(config))
        self._source = random.Random(seed)
        self._left = requests
        self.sent: Counter[str] = Counter()
        self.wrong: dict[str, list[tuple[str, bytes]]] = {}

    async def all(self) -> None:
        await asyncio.gather(*(self._worker() for _ in range(WORKERS)))

    async def _worker(self) -> None:
        known, anonymous = Sender(self._known), Sender(self._anonymous)
        while self._left > 0:
            self._left -= 1
            draw = self._source.random()
            if draw < ANONYMOUS_SHARE:
                await self._one(anonymous, self._source.choice(ANONYMOUS)(self._source))
            else:
                chosen = COSTLY if draw < ANONYMOUS_SHARE + COSTLY_SHARE else COMMON
                await self._one(known, self._source.choice(chosen)(self._source))
        known.close()
        anonymous.close()

    async def _one(self, sender: Sender, mutant: Mutant) -> None:
        self.sent[mutant.kind] += 1
        wrong = await sender.send(mutant)
        if wrong:
            self.wrong.setdefault(mutant.kind, []).append((wrong, mutant.data))


def _anonymous(config: KubeConfig) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=config.ca_data.decode())
    return context


async def _prepare(client: Client) -> None:
    """A namespace with an object to change, and a pod to open tunnels to."""
    await client.create(NAMESPACES, {"metadata": {"name": NAMESPACE}})
    await _until(lambda: _found(client, SERVICE_ACCOUNTS, "default"))
    await client.create(CONFIGMAPS, {**KEPT, "metadata": {"name": "kept", "namespace": NAMESPACE}})
    container = {"name": "c", "image": "busybox", "command": ["sleep", "3600"]}
    pod = {"metadata": {"name": POD, "namespace": NAMESPACE}, "spec": {"containers": [container]}}
    await client.create(PODS, pod)

    async def started() -> bool:
        return bool((await client.get(PODS, POD, NAMESPACE))["status"].get("phase") == "Running")

    await _until(started)


async def _found(client: Client, gvr: GVR, name: str) -> bool:
    try:
        await client.get(gvr, name, NAMESPACE)
    except StatusError as error:
        if error.code != 404:
            raise
        return False
    return True


async def _until(check: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(READY_TIMEOUT_S):
        while not await check():  # noqa: ASYNC110 - asked from outside
            await asyncio.sleep(POLL_S)


async def _stored(client: Client) -> dict[str, str]:
    """What a written request would change: names everywhere, and the version of the object that all aim at."""
    found = {
        path: ",".join(sorted(each["metadata"]["name"] for each in (await _list(client, path))["items"]))
        for path in COLLECTIONS
    }
    found["kept"] = (await client.get(CONFIGMAPS, "kept", NAMESPACE))["metadata"]["resourceVersion"]
    return found


async def _list(client: Client, path: str) -> dict[str, Any]:
    answer: dict[str, Any] = orjson.loads((await client.request("GET", path)).body)
    return answer


def _memory_mib(home: Home) -> float:
    rows = control.call(home, {"op": "status"})["processes"]
    pids = [row["pid"] for row in rows if row["component"] == "apiserver"]
    return sum(process_table.pss_bytes(pid) for pid in pids) / 2**20


async def _fuzz(home: Home, requests: int, seed: int) -> bool:
    config = KubeConfig.load(home.kubeconfig)
    async with Client(config, user_agent="fuzz") as client:
        await _prepare(client)
        await Run(config, min(requests, WARM_UP_REQUESTS), seed + 1).all()  # code and caches are loaded
        before, memory_mib = await _stored(client), _memory_mib(home)
        run = Run(config, requests, seed)
        began = time.monotonic()
        await run.all()
        took_s = time.monotonic() - began
        after = await _stored(client)
    restarts = sum(row["restarts"] for row in control.call(home, {"op": "status"})["processes"])
    written = sorted(key for key in before if before[key] != after[key])
    print(f"seed {seed}: {run.sent.total()} requests in {took_s:.0f} s")
    for kind, count in sorted(run.sent.items()):
        print(f"  {kind:20} {count:7} sent, {len(run.wrong.get(kind, ())):5} answered wrongly")
    for kind, wrong in run.wrong.items():
        for text, data in wrong[:SHOWN_PER_KIND]:
            print(f"{kind}: {text}\n    {data[:300]!r}")
    print(f"apiserver: {memory_mib:.0f} MiB before, {_memory_mib(home):.0f} MiB after; {restarts} restarts")
    print(f"written: {', '.join(written) or 'nothing'}")
    return not run.wrong and not written and not restarts


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.apiserver", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    with fresh_home() as home:
        start(home, stores=1, apiservers=1, nodes=1, schedulers=1, controller_managers=1)
        return 0 if uvloop.run(_fuzz(home, args.requests, args.seed)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
