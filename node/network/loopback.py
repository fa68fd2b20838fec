"""`loopback`: the fallback that needs nothing. Pods stay in the host's namespace, each with an address of 127/8.

The addresses of the cluster's ranges are mapped by their first byte: a pod CIDR of 10.244.1.0/24 becomes
127.244.1.0/24, and a service at 10.96.0.1 is listened for at 127.96.0.1. What it cannot do is in `LIMITS`:
the agent puts it into an event. Nodes share these addresses, so what they all listen on (services) is shared
with SO_REUSEPORT: the kernel hands each connection to one of them.
"""

from __future__ import annotations

import errno
import ipaddress
import json
import socket
from pathlib import Path

from node.network.addresses import AddressPool
from node.network.interface import PodNetwork
from node.network.namespaces import LISTEN_BACKLOG
from node.network.netns import finish_connect

LIMITS = (
    "pods share the host's loopback network: bind $(POD_IP) instead of 0.0.0.0, which takes a port of all pods; "
    "ports below 1024 are refused to an ordinary user; a service sees every client as 127.0.0.1"
)
FILE = "addresses.json"


class LoopbackNetwork:
    name = "loopback"
    limits = LIMITS

    def __init__(self, directory: Path, node_name: str, node_ip: str, pod_cidr: str) -> None:
        self.node_ip = to_loopback(node_ip) if node_ip else "127.0.0.1"
        self.pod_cidr = to_loopback_range(pod_cidr)
        self.host_netns_path: str | None = None
        self.lifeline_pid = 0
        self._file = directory / FILE
        self._addresses: dict[str, str] = {}
        self._pool = AddressPool(self.pod_cidr)

    async def start(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._addresses = json.loads(self._file.read_bytes())
        except (FileNotFoundError, json.JSONDecodeError):
            self._addresses = {}
        self._pool = AddressPool(self.pod_cidr, self._addresses.values())

    async def close(self) -> None: ...

    async def setup_pod(self, sandbox_id: str) -> PodNetwork:
        if sandbox_id not in self._addresses:
            self._addresses[sandbox_id] = self._pool.allocate()
            self._save()
        return PodNetwork((self._addresses[sandbox_id],), None)

    async def teardown_pod(self, sandbox_id: str) -> None:
        address = self._addresses.pop(sandbox_id, None)
        if address is not None:
            self._pool.release(address)
            self._save()

    async def allocated(self) -> dict[str, PodNetwork]:
        return {sandbox: PodNetwork((address,), None) for sandbox, address in self._addresses.items()}

    async def listen(self, address: str, port: int, kind: socket.SocketKind) -> socket.socket:
        made = socket.socket(socket.AF_INET, kind)
        try:
            made.setblocking(False)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            made.bind((to_loopback(address), port))
            if kind == socket.SOCK_STREAM:
                made.listen(LISTEN_BACKLOG)
        except BaseException:
            made.close()
            raise
        return made

    async def connect(
        self, address: str, port: int, kind: socket.SocketKind, source: str = "", timeout_s: float = 5.0
    ) -> socket.socket:
        made = socket.socket(socket.AF_INET, kind)
        made.setblocking(False)
        return await finish_connect(made, to_loopback(address), port, source, timeout_s)

    async def connect_pod(self, sandbox_id: str, port: int, timeout_s: float = 5.0) -> socket.socket:
        """At the pod's address only: 127.0.0.1 is the host's."""
        address = self._addresses.get(sandbox_id)
        if address is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "the pod has no network")
        return await self.connect(address, port, socket.SOCK_STREAM, timeout_s=timeout_s)

    async def accept_local(self, cidr: str) -> None:
        """127/8 is local as it is."""

    def _save(self) -> None:
        temporary = self._file.with_suffix(".tmp")
        temporary.write_text(json.dumps(self._addresses))
        temporary.replace(self._file)


def to_loopback(address: str) -> str:
    """The address of 127/8 that stands for one of the cluster's ranges; 0.0.0.0 stays as it is."""
    parsed = ipaddress.IPv4Address(address)
    if parsed.is_loopback or parsed.is_unspecified:
        return address
    return "127." + address.split(".", 1)[1]


def to_loopback_range(cidr: str) -> str:
    network = ipaddress.IPv4Network(cidr)
    return f"{to_loopback(str(network.network_address))}/{network.prefixlen}"
