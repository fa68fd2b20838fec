"""The cluster's own network, as the supervisor sees it: made before anything starts, gone when it ends.

`netns` where the kernel allows it, as root or in a user namespace; `loopback` otherwise. Why it is not better is
kept and shown by `balsa status` and `balsa doctor`.
"""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from typing import NoReturn

from cluster.errors import ClusterError
from cluster.home import Home
from cluster.spec import ClusterSpec, NetworkMode
from node.network import fabric
from node.network.errors import NetworkError
from node.network.fabric import Capabilities, Fabric, Mode
from node.runtime.process.runtime import kill_all

API_PORT = 6443
BACKLOG = 1024
DIRECTORY = "network"
LOOPBACK_FIRST, LOOPBACK_COUNT = 64, 64
HOW = {
    Mode.ROOT: "network namespaces, as root",
    Mode.USER_NAMESPACE: "network namespaces, in a user namespace",
    Mode.NONE: "the host's loopback",
}


@dataclass(slots=True)
class ClusterNetwork:
    """`api_socket`: the apiserver's door on the inside."""

    mode: NetworkMode
    reason: str
    home: Home
    fabric: Fabric | None = None
    api_socket: socket.socket | None = None

    @classmethod
    def create(cls, home: Home, spec: ClusterSpec) -> ClusterNetwork:
        """Must be called while the process has one thread; an ordinary user's enters a user namespace here.
        Raises ClusterError when the mode asked for cannot be had."""
        wanted = NetworkMode(spec.network)
        if wanted is NetworkMode.LOOPBACK:
            return cls(NetworkMode.LOOPBACK, "asked for", home)
        allowed = fabric.capabilities()
        if not allowed.netns:
            reason = "; ".join(allowed.reasons)
            if wanted is NetworkMode.NETNS:
                raise ClusterError(f"network mode netns is not possible here: {reason}")
            return cls(NetworkMode.LOOPBACK, reason, home)
        return cls._create_netns(home, allowed)

    @classmethod
    def _create_netns(cls, home: Home, allowed: Capabilities) -> ClusterNetwork:
        fabric.enter(allowed)
        try:
            made = Fabric.create(home.root / DIRECTORY)
            door = made.listen(made.address, API_PORT)
        except (NetworkError, OSError) as error:
            raise ClusterError(f"cannot set up the cluster's network: {error}") from error
        door.listen(BACKLOG)
        return cls(NetworkMode.NETNS, HOW[allowed.mode], home, made, door)

    def node_flags(self, number: int) -> tuple[str, ...]:
        """How node `number` (from 1) joins."""
        if self.fabric is None:
            return ("--network=loopback",)
        return (
            "--network=netns",
            f"--network-directory={self.fabric.directory}",
            f"--node-ip={self.fabric.node_address(number)}",
        )

    def advertise(self, spec: ClusterSpec) -> tuple[str, int]:
        """Where pods reach the apiserver."""
        if self.fabric is None:
            return "127.0.0.1", spec.ports["apiserver"]
        return self.fabric.address, API_PORT

    def egress_flags(self) -> tuple[str, ...]:
        """How the apiserver reaches webhooks and other servers that run in pods."""
        return () if self.fabric is None else (f"--egress-network-namespace={self.fabric.path}",)

    def destroy(self) -> None:
        if self.api_socket is not None:
            self.api_socket.close()
        if self.fabric is not None:
            self.fabric.destroy()
        _end_pods(self.home)


def ranges(wanted: str) -> dict[str, str]:
    """What a new cluster's addresses must be. On the loopback services too are 127.x.y.z, so that pods reach them
    under the addresses that they are told, and x is drawn, since clusters side by side share the loopback."""
    if wanted != NetworkMode.LOOPBACK and fabric.capabilities().netns:
        return {}
    drawn = LOOPBACK_FIRST + secrets.randbelow(LOOPBACK_COUNT)
    return {
        "service_cidr": f"127.{drawn}.0.0/16",
        "cluster_cidr": f"127.{drawn + LOOPBACK_COUNT}.0.0/16",
    }


def clean_leftovers(home: Home) -> None:
    """End what a supervisor that was killed has left behind."""
    directory = home.root / DIRECTORY
    if directory.exists():
        fabric.destroy(directory)
    _end_pods(home)


def _end_pods(home: Home) -> None:
    """They outlive their agents. In a fabric they end with it; on the loopback network they are ended here."""
    for root in home.nodes.glob("*/runtime"):
        kill_all(root)


def run_inside(home: Home, command: list[str]) -> NoReturn:
    """Become `command`, in the network of one of the nodes. Raises ClusterError."""
    directory = home.root / DIRECTORY
    try:
        fabric.enter_namespace(directory)
    except (NetworkError, OSError) as error:
        raise ClusterError(f"cannot enter the cluster's network: {error}") from error
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise ClusterError(f"cannot run {command[0]}: {error.strerror}") from error
