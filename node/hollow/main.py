"""`balsa hollow-node`: many node agents in one process, which run nothing.

To the API they are nodes like any other: registered, with Leases and status, and the pods that are bound to
them start, become ready, end, fail and go as their objects say (see `behaviour`). For tests of the control
plane and for benchmarks of it: a thousand nodes cost one process of some fifty megabytes.
"""

from __future__ import annotations

import argparse
import asyncio

from certs.errors import CertsError
from certs.kubeconfig import KubeConfig
from control_plane.api.quantity import parse as parse_quantity
from control_plane.client.client import Client
from control_plane.client.informer import InformerFactory
from control_plane.client.renewal import keep_renewed
from node.agent.node_object import VERSION
from node.hollow.behaviour import Defaults
from node.hollow.nodes import HollowNodes, Shape
from node.hollow.pods import HollowPods
from store.component import logs, process
from store.component.flags import Parser, parse_duration
from store.component.process import FatalError, Lifecycle
from store.component.serving import add_serving_flags, health_server

DEFAULT_PORT = 10260

log = logs.get("hollow")


def main(argv: list[str]) -> int:
    return process.run("hollow-node", parser(), argv, _run)


def parser() -> Parser:
    flags = Parser("balsa hollow-node", "Plays many nodes that run their pods in memory only.")
    add = flags.add_argument
    add("--kubeconfig", required=True, metavar="FILE", help="how to reach the apiserver, and as whom")
    add("--count", type=int, required=True, metavar="N", help="how many nodes")
    add("--name-prefix", default="hollow-", help="their names are this and a number")
    add("--cpus", type=int, default=32, help="of each node")
    add("--memory", default="256Gi", metavar="QUANTITY", help="of each node")
    add("--max-pods", type=int, default=110, help="of each node")
    add("--zones", type=int, default=0, metavar="N", help="spread the nodes over so many zones")
    add("--node-lease-duration-seconds", type=int, default=40, help="of the heartbeat Leases")
    add("--start-delay", type=parse_duration, default="0s", help="from a pod's binding to its running")
    add("--run-duration", type=parse_duration, default="500ms", help="of pods that are to end")
    add("--stop-delay", type=parse_duration, default="0s", help="from a pod's deletion to its end")
    add_serving_flags(flags, DEFAULT_PORT)
    return flags


def names(prefix: str, count: int) -> list[str]:
    """hollow-0001 …: at least four digits, so that they sort."""
    return [f"{prefix}{number:04}" for number in range(1, count + 1)]


async def _run(args: argparse.Namespace, lifecycle: Lifecycle) -> None:
    try:
        client = Client(KubeConfig.load(args.kubeconfig), "balsa-hollow-node", field_manager="kubelet")
        shape = _shape(args)
    except (CertsError, ValueError) as error:
        raise FatalError(str(error)) from error
    async with client:
        informers = InformerFactory(client)
        nodes = HollowNodes(client, informers, names(args.name_prefix, args.count), shape, VERSION)
        defaults = Defaults(args.start_delay, args.run_duration, args.stop_delay)
        pods = HollowPods(client, informers, nodes.address_of, nodes.is_silent, defaults)
        door = health_server(args, ready={"nodes": nodes.missing})
        if door is not None:
            await door.start()
        await informers.start()
        renewal = asyncio.create_task(keep_renewed(client, args.kubeconfig))
        tasks = [asyncio.create_task(nodes.run(), name="nodes"), asyncio.create_task(pods.run(), name="pods")]
        log.info("playing nodes", count=args.count)
        try:
            await lifecycle.until_stopped(*tasks)
        finally:
            for task in (renewal, *tasks):
                task.cancel()
            await asyncio.gather(renewal, *tasks, return_exceptions=True)
            await informers.stop()
            if door is not None:
                await door.stop()


def _shape(args: argparse.Namespace) -> Shape:
    """Raises ValueError."""
    return Shape(
        cpus=args.cpus,
        memory_bytes=parse_quantity(args.memory).value(),
        max_pods=args.max_pods,
        zones=args.zones,
        lease_duration_s=args.node_lease_duration_seconds,
        port=args.secure_port,
    )
