"""Engines in this process, over real TLS connections and real files."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from certs.ca import CertificateAuthority
from certs.tls import client_context, server_context
from store.raft import RaftConfig, RaftNode
from tests.store.raft.toy import Toy

DEADLINE_S = 15.0


async def eventually(condition: Callable[[], Any], what: str = "", deadline_s: float = DEADLINE_S) -> Any:
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"not in {deadline_s} s: {what or condition}"
        await asyncio.sleep(0.005)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def write_identity(directory: Path, authority: CertificateAuthority, name: str) -> tuple[Path, Path, Path]:
    directory.mkdir(parents=True, exist_ok=True)
    ca, cert, key = directory / "ca.crt", directory / f"{name}.crt", directory / f"{name}.key"
    ca.write_bytes(authority.cert_pem)
    authority.issue_peer(name, ["127.0.0.1", "localhost"]).write(cert, key)
    return ca, cert, key


class Cluster:
    def __init__(
        self, directory: Path, authority: CertificateAuthority, names: list[str], **settings: Any
    ) -> None:
        self.directory = directory
        self.authority = authority
        self.urls = {name: [f"https://127.0.0.1:{free_port()}"] for name in names}
        self.settings: dict[str, Any] = settings
        self.nodes: dict[str, RaftNode] = {}
        self.machines: dict[str, Toy] = {}

    def config(self, name: str) -> RaftConfig:
        ca, cert, key = write_identity(self.directory / "pki", self.authority, name)
        config = RaftConfig(
            name=name,
            data_dir=self.directory / name,
            initial_members=self.urls,
            server_tls=server_context(cert, key, ca),
            client_tls=client_context(ca, cert, key, min_tls13=True),
            heartbeat_interval_s=0.05,
            election_timeout_s=0.5,
        )
        return replace(config, **self.settings)

    async def start(self, *names: str, **settings: Any) -> None:
        for name in names or self.urls:
            self.machines[name] = Toy()
            node = RaftNode(replace(self.config(name), **settings), self.machines[name])
            self.nodes[name] = node
            await node.start()

    async def stop(self, *names: str) -> None:
        for name in names or list(self.nodes):
            node = self.nodes.pop(name, None)
            if node is not None:
                await node.stop()

    @property
    def leader_name(self) -> str | None:
        """The leader that a majority follows in its term."""
        statuses = {name: node.status() for name, node in self.nodes.items()}
        for name, status in statuses.items():
            followers = [each for each in statuses.values() if each.leader_id == status.member_id]
            same_term = [each for each in followers if each.term == status.term]
            if status.role == "leader" and len(same_term) > len(self.urls) // 2:
                return name
        return None

    async def leader(self) -> RaftNode:
        return self.nodes[await eventually(lambda: self.leader_name, "a leader")]

    async def follower(self) -> RaftNode:
        """One that has heard of the leader; another may still be on its way to it."""
        leader_id = (await self.leader()).status().member_id

        def following() -> RaftNode | None:
            others = (node for node in self.nodes.values() if node.status().role == "follower")
            return next((node for node in others if node.status().leader_id == leader_id), None)

        return await eventually(following, "a follower of the leader")

    async def converged(self) -> list[bytes]:
        """Once all running members hold the same, what they hold."""

        def same() -> bool:
            held = [self.machines[name].commands for name in self.nodes]
            return all(each == held[0] for each in held)

        await eventually(same, "all members hold the same")
        return self.machines[next(iter(self.nodes))].commands
