"""The network interface: who gives a pod its address, and where sockets are made.

A node lives in a namespace of the cluster's own (`netns`) or on the host's loopback (`loopback`). A socket
belongs to the namespace it was created in, so the agent, which runs on the host's side, asks this interface
for sockets that belong to the node's side and then uses them from its ordinary event loop.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PodNetwork:
    ips: tuple[str, ...]
    netns_path: str | None  # what the sandbox joins; None: it stays in the host's namespace


class Network(Protocol):
    name: str  # "netns", "loopback"
    node_ip: str  # the node's InternalIP
    pod_cidr: str
    host_netns_path: str | None  # what a pod with hostNetwork joins: the node's namespace; None: the host's
    lifeline_pid: int  # the process that keeps the namespaces alive; pods end with it. 0: there is none

    async def start(self) -> None:
        """Set up the node's side; idempotent, so that a restarted agent finds what is there."""

    async def close(self) -> None: ...

    async def setup_pod(self, sandbox_id: str) -> PodNetwork:
        """Give the sandbox an address; idempotent per sandbox id and kept over agent restarts."""

    async def teardown_pod(self, sandbox_id: str) -> None: ...

    async def allocated(self) -> dict[str, PodNetwork]:
        """By sandbox id, what is set up now."""

    async def listen(self, address: str, port: int, kind: socket.SocketKind) -> socket.socket:
        """A bound (TCP: listening), non-blocking socket on the node's side. Raises OSError."""

    async def connect(
        self, address: str, port: int, kind: socket.SocketKind, source: str = "", timeout_s: float = 5.0
    ) -> socket.socket:
        """A connected, non-blocking socket whose origin is the node's side. Raises OSError."""

    async def connect_pod(self, sandbox_id: str, port: int, timeout_s: float = 5.0) -> socket.socket:
        """A connected, non-blocking TCP socket to a port of the pod, as from inside it: what listens on the pod's
        localhost only is reached too, where it has one. Raises OSError."""

    async def accept_local(self, cidr: str) -> None:
        """Make every address of `cidr` local to the node, so that `listen` can take service addresses."""
