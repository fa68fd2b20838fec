"""`netns`: the node is a network namespace on the cluster's fabric, and each pod is one on the node's bridge.

Nothing is kept on disk. The namespaces and the addresses that were given out are the holder's (a label of each
namespace), so an agent that starts anew finds them, and all of it ends with the holder.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import ipaddress
import socket
from functools import partial
from pathlib import Path

from node.network import links
from node.network.addresses import AddressPool
from node.network.errors import HolderGone
from node.network.fabric import FABRIC
from node.network.interface import PodNetwork
from node.network.namespaces import HolderClient, Visitor, bound_socket, unbound_socket


class NetnsNetwork:
    name = "netns"

    def __init__(self, directory: Path, node_name: str, node_ip: str, pod_cidr: str) -> None:
        """`directory` is the fabric's."""
        self.node_ip = node_ip
        self.pod_cidr = pod_cidr
        self.host_netns_path: str | None = None
        self.lifeline_pid = 0
        self._node_name = node_name
        self._holder = HolderClient(directory)
        self._visitor = Visitor()
        self._pool = AddressPool(pod_cidr)
        self._pods: dict[str, PodNetwork] = {}
        self._fabric_path = ""
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        """Raises HolderGone when there is no fabric."""
        fabric = self._holder.list().get(FABRIC)
        if fabric is None:
            raise HolderGone("the cluster's fabric does not exist")
        self._fabric_path = fabric.path
        self.lifeline_pid = self._holder.pid
        gateway = ipaddress.IPv4Interface(fabric.label["address"])
        node = self._holder.open(f"node/{self._node_name}")
        self.host_netns_path = node.path
        port = _port("n", self._node_name)
        await self._visitor.run_in(
            fabric.path, lambda: links.plug_node(port, node.path, self.node_ip, self.pod_cidr)
        )
        address = ipaddress.IPv4Interface(f"{self.node_ip}/{gateway.network.prefixlen}")
        await self._visitor.run_in(
            node.path, lambda: links.set_up_node(address, str(gateway.ip), self.pod_cidr)
        )
        self._find_pods()

    async def close(self) -> None:
        """The namespaces stay: pods go on."""

    async def setup_pod(self, sandbox_id: str) -> PodNetwork:
        if sandbox_id in self._pods:
            return self._pods[sandbox_id]
        address = self._pool.allocate()
        try:
            return await self._make_pod(sandbox_id, address)
        except BaseException:
            await self.teardown_pod(sandbox_id)
            self._pool.release(address)
            raise

    async def _make_pod(self, sandbox_id: str, address: str) -> PodNetwork:
        pod = self._holder.open(self._pod_name(sandbox_id), address)
        port = _port("p", sandbox_id)
        await self._visitor.run_in(self._node_path, lambda: links.plug_pod(port, pod.path))
        interface = self._pool.interface(address)
        await self._visitor.run_in(pod.path, lambda: links.set_up_pod(interface, self._pool.gateway))
        self._pods[sandbox_id] = PodNetwork((address,), pod.path)
        return self._pods[sandbox_id]

    async def teardown_pod(self, sandbox_id: str) -> None:
        port = _port("p", sandbox_id)
        try:
            await self._visitor.run_in(self._node_path, lambda: links.unplug_pod(port))
            self._holder.close(self._pod_name(sandbox_id))
        except HolderGone:
            pass  # with the holder everything has gone already
        pod = self._pods.pop(sandbox_id, None)
        if pod is not None:
            self._pool.release(pod.ips[0])

    async def allocated(self) -> dict[str, PodNetwork]:
        return dict(self._pods)

    async def listen(self, address: str, port: int, kind: socket.SocketKind) -> socket.socket:
        return await self._visitor.run_in(self._node_path, lambda: bound_socket(address, port, kind))

    async def connect(
        self, address: str, port: int, kind: socket.SocketKind, source: str = "", timeout_s: float = 5.0
    ) -> socket.socket:
        made = await self._visitor.run_in(self._node_path, lambda: unbound_socket(address, kind))
        return await finish_connect(made, address, port, source, timeout_s)

    async def connect_pod(self, sandbox_id: str, port: int, timeout_s: float = 5.0) -> socket.socket:
        pod = self._pods.get(sandbox_id)
        if pod is None or pod.netns_path is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "the pod has no network")
        path = pod.netns_path
        refused: OSError | None = None
        for address in ("127.0.0.1", "::1", *pod.ips):
            made = await self._visitor.run_in(path, partial(unbound_socket, address, socket.SOCK_STREAM))
            try:
                return await finish_connect(made, address, port, "", timeout_s)
            except OSError as error:
                refused = refused or error
        assert refused is not None
        raise refused

    async def accept_local(self, cidr: str) -> None:
        await self._visitor.run_in(self._node_path, lambda: links.make_local(cidr))

    @property
    def _node_path(self) -> str:
        assert self.host_netns_path is not None, "start() comes first"
        return self.host_netns_path

    def _pod_name(self, sandbox_id: str) -> str:
        return f"pod/{self._node_name}/{sandbox_id}"

    def _find_pods(self) -> None:
        prefix = self._pod_name("")
        for name, namespace in self._holder.list(prefix).items():
            self._pods[name.removeprefix(prefix)] = PodNetwork((namespace.label,), namespace.path)
        self._pool = AddressPool(self.pod_cidr, [pod.ips[0] for pod in self._pods.values()])


async def finish_connect(
    made: socket.socket, address: str, port: int, source: str, timeout_s: float
) -> socket.socket:
    """Connect a socket wherever it was made; closes it on failure."""
    try:
        if source:
            made.bind((source, 0))
        if made.type == socket.SOCK_DGRAM:
            made.connect((address, port))
        else:
            loop = asyncio.get_running_loop()
            await asyncio.wait_for(loop.sock_connect(made, (address, port)), timeout_s)
    except BaseException:
        made.close()
        raise
    return made


def _port(kind: str, owner: str) -> str:
    """A name for the bridge's end of a veth pair; interface names have at most 15 bytes."""
    return kind + hashlib.sha256(owner.encode()).hexdigest()[:12]
