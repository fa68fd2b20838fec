"""nodeipam: gives every node without one a range of pod addresses out of the cluster's.

Only with `--allocate-node-cidrs`: Balsa's own node agents bring their range along. What is taken is what nodes
have; a range is free again when its node has gone.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.client.gvr import NODES
from control_plane.controllers.context import WARNING, Context
from control_plane.controllers.controller import Controller, named

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
RETRY_S = 30.0
DEFAULT_MASK_SIZE = {4: 24, 6: 64}


def ranges_of(node: Object) -> list[str]:
    spec = node.get("spec") or {}
    return list(spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else []))


def choose(cluster: Network, mask_size: int, taken: Iterable[Network]) -> Network | None:
    """The first range that overlaps none that is taken; None when there is none."""
    busy = sorted((each for each in taken if each.version == cluster.version), key=lambda each: int(each[0]))
    for candidate in _candidates(cluster, mask_size):
        while busy and int(busy[0][-1]) < int(candidate[0]):
            busy.pop(0)
        if not busy or int(busy[0][0]) > int(candidate[-1]):
            return candidate
    return None


def _candidates(cluster: Network, mask_size: int) -> Iterator[Network]:
    yield from cluster.subnets(new_prefix=mask_size)


class NodeIpamController(Controller):
    name = "nodeipam"
    source = "cidrAllocator"
    account = "node-controller"
    workers = 1  # two at once would choose the same range

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        options = context.options
        self.nodes = self.informer(NODES)
        self.clusters = [ipaddress.ip_network(each) for each in options.cluster_cidr.split(",") if each]
        self._given: dict[str, list[Network]] = {}  # by node, until the informer shows it
        if options.allocate_node_cidrs and self.clusters:
            self.reconcile_each(self.nodes)

    async def reconcile(self, key: str) -> float | None:
        node = named(self.nodes, key)
        if node is None or ranges_of(node):
            self._given.pop(key, None)
            return None
        if meta.is_deleting(node):
            return None
        chosen = self._given.get(key) or self._choose()
        if not chosen:
            self.record(node, WARNING, "CIDRNotAvailable", f"Node {key} status is now: CIDRNotAvailable")
            return RETRY_S
        self._given[key] = chosen
        names = [str(each) for each in chosen]
        patch = {"metadata": {"uid": meta.uid_of(node)}, "spec": {"podCIDR": names[0], "podCIDRs": names}}
        await self.client.patch(NODES, key, patch)
        return None

    def _choose(self) -> list[Network]:
        taken = [ipaddress.ip_network(each) for node in self.nodes.list() for each in ranges_of(node)]
        taken += [network for given in self._given.values() for network in given]
        found = []
        for cluster in self.clusters:
            size = max(
                self.context.options.node_cidr_mask_size or DEFAULT_MASK_SIZE[cluster.version],
                cluster.prefixlen,
            )
            network = choose(cluster, size, taken)
            if network is None:
                return []
            found.append(network)
        return found
