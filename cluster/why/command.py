"""`balsa why TARGET`: fetches what may matter, in one go, and prints the explanation.

Exit status 0 when all is well, 1 when not (and for errors, as every command).
"""

from __future__ import annotations

import asyncio
import time
from argparse import Namespace

import orjson

from certs.kubeconfig import KubeConfig
from cluster.errors import ClusterError, NotRunning
from cluster.home import Home
from cluster.why import render, target
from cluster.why.world import World
from control_plane.api.errors import StatusError
from control_plane.client import gvr
from control_plane.client.client import Client
from control_plane.client.errors import ConnectionFailed
from control_plane.client.gvr import GVR
from control_plane.client.types import Obj

PAGE = 500
NAMESPACED: dict[str, GVR] = {
    each.resource: each
    for each in (
        gvr.PODS, gvr.EVENTS, gvr.REPLICA_SETS, gvr.REPLICATION_CONTROLLERS, gvr.DEPLOYMENTS, gvr.STATEFUL_SETS,
        gvr.DAEMON_SETS, gvr.JOBS, gvr.CRON_JOBS, gvr.PERSISTENT_VOLUME_CLAIMS, gvr.SERVICES, gvr.ENDPOINT_SLICES,
        gvr.RESOURCE_QUOTAS,
    )
}  # fmt: skip
OUTSIDE: dict[str, GVR] = {
    each.resource: each
    for each in (gvr.NODES, gvr.NAMESPACES, gvr.PERSISTENT_VOLUMES, gvr.STORAGE_CLASSES, gvr.LEASES)
}


def run(args: Namespace) -> int:
    if len(args.target) > 2:
        raise target.UnknownTarget("say what to explain as KIND/NAME")
    resource, name = target.parse(args.target)
    namespace = name if resource == "namespaces" else args.namespace
    home = Home.resolve()
    if not home.kubeconfig.exists():
        raise NotRunning(f"there is no cluster in {home.root}; `balsa up` starts one")
    world = asyncio.run(_fetch(KubeConfig.load(home.kubeconfig), namespace))
    cause = target.explain(world, resource, name)
    if args.output == "json":
        print(orjson.dumps(render.document(cause, world.complaints), option=orjson.OPT_INDENT_2).decode())
    else:
        print(render.text(cause, world.complaints))
    return 0 if cause.healthy else 1


async def _fetch(config: KubeConfig, namespace: str) -> World:
    """Raises ClusterError when no apiserver answers."""
    objects: dict[str, list[Obj]] = {}
    complaints: list[str] = []

    async def read(name: str, which: GVR, within: str) -> None:
        try:
            objects[name] = await _all(client, which, within)
        except StatusError as error:
            complaints.append(error.message)

    try:
        async with Client(config, user_agent="balsa-why") as client:
            await asyncio.gather(
                read("allpods", gvr.PODS, ""),
                *(read(name, which, namespace) for name, which in NAMESPACED.items()),
                *(read(name, which, "") for name, which in OUTSIDE.items()),
            )
    except ConnectionFailed as error:
        raise ClusterError(f"no apiserver answers ({error}); `balsa status` shows every process") from error
    return World(namespace, objects, time.time(), complaints)


async def _all(client: Client, which: GVR, namespace: str) -> list[Obj]:
    items: list[Obj] = []
    token = ""
    while True:
        page = await client.list(which, namespace, limit=PAGE, continue_token=token)
        items += page.items
        token = page.continue_token
        if not token:
            return items
