"""Three members of Balsa's store and three of a real etcd, on this machine and the same disk, with the same
certificates; their flags differ in nothing that costs time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from certs.ca import CertificateAuthority
from certs.tls import client_context
from store.client import StoreClient, StoreError

NAMES = ("m1", "m2", "m3")
START_TIMEOUT_S = 30.0


class Cluster:
    def __init__(self, program: list[str], directory: Path, pki: Path) -> None:
        self.urls = [f"https://127.0.0.1:{_free_port()}" for _ in NAMES]
        self._peer_urls = [f"https://127.0.0.1:{_free_port()}" for _ in NAMES]
        self._program = program
        self._directory = directory
        self._pki = pki
        self.processes: list[asyncio.subprocess.Process] = []

    def client_context(self) -> ssl.SSLContext:
        return client_context(self._pki / "ca.crt", self._pki / "client.crt", self._pki / "client.key")

    async def start(self) -> None:
        initial = ",".join(f"{name}={url}" for name, url in zip(NAMES, self._peer_urls, strict=True))
        for name, url, peer_url in zip(NAMES, self.urls, self._peer_urls, strict=True):
            tls = {
                "": (f"{self._pki}/server.crt", f"{self._pki}/server.key"),
                "peer-": (f"{self._pki}/{name}.crt", f"{self._pki}/{name}.key"),
            }
            flags = [
                f"--{prefix}{flag}={value}"
                for prefix, (cert, key) in tls.items()
                for flag, value in (
                    ("cert-file", cert),
                    ("key-file", key),
                    ("trusted-ca-file", f"{self._pki}/ca.crt"),
                    ("client-cert-auth", "true"),
                )
            ]
            self.processes.append(
                await asyncio.create_subprocess_exec(
                    *self._program,
                    *(f"--name={name}", f"--data-dir={self._directory / name}"),
                    *(f"--listen-client-urls={url}", f"--advertise-client-urls={url}"),
                    *(f"--listen-peer-urls={peer_url}", f"--initial-advertise-peer-urls={peer_url}"),
                    f"--initial-cluster={initial}",
                    *flags,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.DEVNULL,
                )
            )
        await self._wait_ready()

    async def leader_term(self) -> int:
        async with StoreClient(self.urls, self.client_context()) as client:
            return (await client.status(self.urls[0])).raft_term

    async def _wait_ready(self) -> None:
        async with asyncio.timeout(START_TIMEOUT_S):
            for url in self.urls:
                async with StoreClient([url], self.client_context()) as client:
                    while True:
                        with contextlib.suppress(StoreError):
                            await client.range(b"ready")
                            break
                        await asyncio.sleep(0.1)

    async def stop(self) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _free_port() -> int:
    with contextlib.closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@asynccontextmanager
async def both(parent: Path) -> AsyncIterator[dict[str, Cluster]]:
    """Balsa and etcd, running; their state is below `parent`, which says which disk."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=parent) as name:
        directory = Path(name)
        ca = CertificateAuthority.create("bench")
        ca.write(directory / "ca.crt", directory / "ca.key")
        sans = ["127.0.0.1", "localhost"]
        for each in ("server", *NAMES):
            ca.issue_peer(each, sans).write(directory / f"{each}.crt", directory / f"{each}.key")
        ca.issue_client("client").write(directory / "client.crt", directory / "client.key")
        clusters = {
            "etcd": Cluster(["etcd", "--log-level=error"], directory / "etcd", directory),
            "balsa": Cluster([sys.executable, "-m", "store.api"], directory / "balsa", directory),
        }
        for kind in clusters:
            (directory / kind).mkdir()
        try:
            for cluster in clusters.values():
                await cluster.start()
            yield clusters
        finally:
            for cluster in clusters.values():
                await cluster.stop()
