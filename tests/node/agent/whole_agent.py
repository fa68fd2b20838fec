"""A whole agent against an API and a runtime in memory."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from certs import tls
from certs.ca import CertificateAuthority, KeyPair
from control_plane.client import gvr
from node.agent.agent import Agent, Options
from node.agent.eviction.manager import EvictionSettings
from node.agent.node_object import Settings
from tests.control_plane.fakeapi import FakeApi
from tests.node.agent.conftest import make_pod
from tests.node.agent.doubles import FakeRuntime, HostNetwork

Obj = dict[str, Any]
NEVER = EvictionSettings(())  # this machine's disk is none of a test's business


@dataclass
class Certificates:
    ca: CertificateAuthority
    directory: Path

    def server(self) -> ssl.SSLContext:
        certificate, key = self._write("server", self.ca.issue_server("node-1", ["127.0.0.1"]))
        return tls.server_context(certificate, key, self._ca_file())

    def client(self, name: str, *groups: str) -> ssl.SSLContext:
        certificate, key = self._write("client", self.ca.issue_client(name, groups))
        return tls.client_context(self._ca_file(), certificate, key)

    def _ca_file(self) -> Path:
        self.ca.write(self.directory / "ca.crt", self.directory / "ca.key")
        return self.directory / "ca.crt"

    def _write(self, stem: str, pair: KeyPair) -> tuple[Path, Path]:
        paths = self.directory / f"{stem}.crt", self.directory / f"{stem}.key"
        pair.write(*paths)
        return paths


class Node:
    def __init__(self, root: Path, runtime: Any = None, eviction: EvictionSettings = NEVER) -> None:
        self.root = root
        self.api = FakeApi()
        self.runtime: Any = runtime or FakeRuntime()
        self._eviction = eviction
        self.certificates = Certificates(CertificateAuthority.create("ca"), root)
        self.port = 0
        self.agent: Agent | None = None
        self._client: Any = None

    async def start(self) -> None:
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        self.port = sock.getsockname()[1]
        settings = Settings("node-1", "172.30.0.11", "10.244.1.0/24", self.port, runtime_version="fake://1")
        self._client = self.api.client("agent")
        options = Options(settings, self.root, proxy=False, eviction=self._eviction)
        self.agent = Agent(options, self._client, self.runtime, HostNetwork())  # type: ignore[arg-type]
        await self.agent.start(sock, self.certificates.server())

    async def stop(self) -> None:
        if self.agent is not None:
            await self.agent.stop()
            await self._client.close()
            self.agent = None

    def pod(self, name: str) -> Obj:
        return self.api.get(gvr.PODS, name, "default") or {}

    def phase(self, name: str) -> str:
        return str((self.pod(name).get("status") or {}).get("phase"))

    async def get(self, path: str, who: ssl.SSLContext) -> tuple[int, str]:
        connector = aiohttp.TCPConnector(ssl=who)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(f"https://127.0.0.1:{self.port}{path}") as answer,
        ):
            return answer.status, await answer.text()


def wanted(name: str = "web", **spec: Any) -> Obj:
    pod = make_pod(name, **spec)
    del pod["metadata"]["uid"]
    return pod
